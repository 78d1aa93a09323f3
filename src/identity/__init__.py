"""Accounts, their DIDs, sign-in, sessions at the PDS and API tokens. Imports eventstore and aggregates."""
