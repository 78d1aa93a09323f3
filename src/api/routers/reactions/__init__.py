"""Routes of likes and comments."""
