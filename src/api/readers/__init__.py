"""What pages read that no route answers with."""
