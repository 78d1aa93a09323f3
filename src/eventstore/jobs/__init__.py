"""The jobs of all processes in one table: what is to be done in the background, in turns of accounts, under leases."""
