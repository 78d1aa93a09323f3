"""The real servers that the tests run against, as pytest plugins."""
