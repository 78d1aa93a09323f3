"""What operators do to many accounts at once, and the delivery part of account deletion. Imports views and below."""
