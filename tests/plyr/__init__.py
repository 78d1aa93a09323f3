"""The unmodified `plyrfm` from PyPI, in an environment of its own, against the real service and a real PDS."""
