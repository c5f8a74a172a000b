"""The worker's tables and every statement on them."""
