"""The bodies of what operators read and do."""
