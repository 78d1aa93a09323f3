"""What applies to every request: its id, limits, security headers, CORS. Imports error_responses and below."""
