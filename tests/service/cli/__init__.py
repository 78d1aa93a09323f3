"""The command line: what an operator types, what is printed, and the exit code."""
