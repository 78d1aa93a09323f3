"""Recovery and import: verify, plan, apply, adopt, export, load. Imports the four packages below, never application."""
