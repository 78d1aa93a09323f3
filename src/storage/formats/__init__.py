"""What the bytes of each container say, read within bounds. Knows no store and no database."""
