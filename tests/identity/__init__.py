"""Accounts, sign-in, PDS sessions, and resolution of identities."""
