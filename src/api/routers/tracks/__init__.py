"""Routes of tracks, their audio and their covers."""
