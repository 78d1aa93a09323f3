"""What holds for every request: rate limits, request limits, security headers."""
