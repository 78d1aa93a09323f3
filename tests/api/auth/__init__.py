"""Sign-in, tokens, and which caller may use which route."""
