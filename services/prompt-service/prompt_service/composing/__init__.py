"""From a topic and a story direction to what a manifest shows: an atmosphere and 22 items (R84, R85)."""
