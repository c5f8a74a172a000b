"""provider-worker: quotes, waits its turn, calls the provider once, checks and hands over the bytes."""
