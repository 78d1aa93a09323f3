"""Routes of the caller's own account: sign-in, tokens, profile, export."""
