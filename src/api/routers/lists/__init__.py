"""Routes of albums and playlists."""
