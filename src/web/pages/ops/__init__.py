"""The console: what operators see of all accounts, and what admins may do about it."""
