"""How processes and threads meet: commit signals."""
