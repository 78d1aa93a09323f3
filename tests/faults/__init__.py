"""A proxy that does to requests what networks do, between the service and a real PDS."""
