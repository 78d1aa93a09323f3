"""Settings and secret keys."""
