"""What one account, host or store does to the others in the same process: nothing that lasts."""
