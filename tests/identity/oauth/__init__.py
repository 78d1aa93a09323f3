"""OAuth sign-in, its client, and the wrapped library."""
