"""What operators do to many accounts at once, and accounts that leave. Imports views and below."""
