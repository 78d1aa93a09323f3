"""`./dev demo`: the life of one track on a real PDS, with the service run as its users run it."""
