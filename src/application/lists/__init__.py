"""What owners do to albums and playlists."""
