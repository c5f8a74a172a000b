"""Pictures from words: composition, colour and type. Pure: the same brief gives the same bytes."""
