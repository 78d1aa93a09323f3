"""Tests mirror src/; e2e/ needs the real PDS."""
