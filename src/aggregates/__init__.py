"""What happened: the Track aggregate, its events, values and rules. Imports nothing of ours."""
