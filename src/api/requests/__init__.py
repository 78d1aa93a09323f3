"""From a request to checked values: bodies, headers, path and query parameters. Imports middleware and below."""
