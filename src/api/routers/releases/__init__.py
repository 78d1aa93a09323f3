"""Routes of releases."""
