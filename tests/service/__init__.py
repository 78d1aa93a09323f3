"""The assembled service, its command line and its processes."""
