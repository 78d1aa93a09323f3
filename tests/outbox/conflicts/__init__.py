"""Records that other clients wrote, and adopted records."""
