"""Moving pictures from words and numbers. Pure: the same brief gives the same bytes."""
