"""Deleting an account's data: its records first, its login last."""
