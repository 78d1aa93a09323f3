"""Stores, checks of what comes in, media rows and the sweep."""
