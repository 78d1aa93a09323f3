"""The real service, as a process, and a real PDS."""
