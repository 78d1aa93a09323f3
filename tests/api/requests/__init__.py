"""Bad input and damaged files."""
