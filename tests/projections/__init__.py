"""Every read model is the fold of the log, and can be made again."""
