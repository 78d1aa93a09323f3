"""`tracks` and `track_tags`: what each track is now, and the queries of both."""
