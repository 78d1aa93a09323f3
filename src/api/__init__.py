"""HTTP and JSON: requests become use cases, results become responses. Imports application and below."""
