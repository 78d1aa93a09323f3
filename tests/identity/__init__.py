"""identity: who somebody is, and their sessions."""
