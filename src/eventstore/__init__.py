"""Where it is kept: the persistence module, the unit of work, the log reader. Imports aggregates."""
