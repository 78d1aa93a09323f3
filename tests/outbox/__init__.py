"""The outbox: tests/outbox/X holds the tests of src/outbox/X, and rigs/ what they share."""
