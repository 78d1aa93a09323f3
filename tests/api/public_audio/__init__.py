"""Audio with a public copy: which has one, from when until when, and what trouble makes of that."""
