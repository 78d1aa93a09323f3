"""A real PDS and PLC directory on loopback, for the demo, the tests and the benches."""
