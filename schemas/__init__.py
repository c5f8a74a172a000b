"""The event contract: what the services tell each other and other platforms, as models, a codec and a topic table."""
