"""What may happen to a track or an account: the aggregates, their events, values and rules. Imports nothing of ours."""
