"""Every table and every SQL statement of this service."""
