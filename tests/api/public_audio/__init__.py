"""Public copies of audio: which tracks have one, from when until when, and after failures."""
