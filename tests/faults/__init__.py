"""A fault proxy between the service and a real PDS, and points at which a process is killed."""
