"""The tables of the connector, and every SQL statement on them. All times are the database's."""
