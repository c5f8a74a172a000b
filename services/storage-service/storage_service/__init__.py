"""storage-service: owns bytes, assets and names; stores, serves, signs, deletes."""
