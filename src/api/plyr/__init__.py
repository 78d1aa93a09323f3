"""`/plyr`: the HTTP surface that clients of plyr.fm know, over the same use cases; it has no rule of its own. Imports `api.routers` and below."""
