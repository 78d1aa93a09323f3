"""The routes, one file for each resource. Imports pipeline and below."""
