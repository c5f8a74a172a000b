"""What the gateway answers to clients."""
