"""Routes of what records and the log say of any subject."""
