"""Recovery: everything that reads the log again to make a pressing anew. May import all but api and service."""
