"""Accounts, their credentials, and sign-in."""
