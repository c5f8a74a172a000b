"""Providers, each in a room of its own behind one interface; they know no store, no event, no engine."""
