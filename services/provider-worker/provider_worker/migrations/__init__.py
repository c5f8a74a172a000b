"""The schema of provider-worker's own database, revision by revision."""
