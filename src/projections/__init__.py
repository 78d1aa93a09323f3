"""What it looks like now: one file per read model, and the machinery that rebuilds them. Imports eventstore and aggregates."""
