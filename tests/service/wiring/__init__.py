"""The container and its adapters."""
