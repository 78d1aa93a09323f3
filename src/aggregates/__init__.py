"""The aggregates (track, account), their events, values and rules. Imports none of our packages."""
