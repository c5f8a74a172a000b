"""Revisions of this service's schema."""
