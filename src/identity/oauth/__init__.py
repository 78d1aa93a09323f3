"""Sign-in and tokens by OAuth. Imports accounts and below."""
