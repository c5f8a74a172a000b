"""Effects and music from words and numbers: synthesis and composition. Pure: the same brief gives the same samples."""
