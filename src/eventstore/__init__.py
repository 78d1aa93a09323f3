"""Where events are kept: the log, the unit of work, locks, and the projections that run inside it. Imports aggregates."""
