"""Accounts and the profiles of their people."""
