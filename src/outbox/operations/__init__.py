"""Bulk operations of operators, and the delivery part of account deletion. Imports views and below."""
