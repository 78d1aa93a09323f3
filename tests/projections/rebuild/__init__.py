"""A rebuild makes the rows of every read model from the log, beside live traffic."""
