"""`mastertape doctor`: checks everything that a service depends on."""
