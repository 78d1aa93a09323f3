"""Speaking to a PDS: requests, what its answers mean, and what it tells of its limits. Imports record."""
