"""The engine: claims tasks by lease, calls their providers, hands over the bytes, says what came of it."""
