"""How processes and threads meet: named thread pools, leases of single rows, commit signals, polling for waiters."""
