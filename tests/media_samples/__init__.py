"""Small real media files, and varied copies of them."""
