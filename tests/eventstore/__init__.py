"""The log keeps what it promises, on both databases."""
