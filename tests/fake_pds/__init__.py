"""A PDS in memory. The contract suite here runs against it and against the real PDS, which it must equal."""
