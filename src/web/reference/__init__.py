"""The API reference: what the OpenAPI document says, as pages for people."""
