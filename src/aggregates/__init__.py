"""What may happen to a track or an account: aggregates, their events, values and rules. Imports nothing of ours."""
