"""Authentication: session cookies, bearer tokens, and the sign-in page. Imports requests and below."""
