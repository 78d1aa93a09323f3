"""Stores, checks of uploads, media rows and the sweep."""
