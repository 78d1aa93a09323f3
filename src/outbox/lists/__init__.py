"""The records of albums and playlists, and what they refer to."""
