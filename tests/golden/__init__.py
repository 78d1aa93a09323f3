"""What was written once must be readable for ever."""
