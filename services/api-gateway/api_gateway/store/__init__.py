"""The gateway's tables and every statement on them."""
