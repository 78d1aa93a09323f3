"""Albums and playlists."""
