"""What is shown of targets: status, waits, failures and the drain estimate."""
