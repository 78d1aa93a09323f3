"""What operators read, and what admins do."""
