"""Records that a PDS holds already become tracks."""
