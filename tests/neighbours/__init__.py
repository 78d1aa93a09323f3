"""Limited resources that one account or host tries to keep to itself."""
