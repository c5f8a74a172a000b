"""How fast the whole system is, as in production: real Kafka, real PostgreSQL, real bytes, an instant sandbox."""
