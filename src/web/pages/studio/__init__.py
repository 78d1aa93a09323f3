"""The studio: an artist's own tracks, what happened to each, and how far each is on its way to the artist's PDS."""
