"""PDS sessions: tokens, refresh, DPoP, encryption."""
