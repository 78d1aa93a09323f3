"""What an account does with its releases."""
