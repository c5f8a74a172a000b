"""What this service answers: bytes to everybody who has their address, questions to the other services."""
