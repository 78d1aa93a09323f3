"""What a process loads and runs: jobs, HTTP connections."""
