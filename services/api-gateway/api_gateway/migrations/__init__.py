"""Revisions of api-gateway's schema."""
