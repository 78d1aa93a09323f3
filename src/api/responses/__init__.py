"""From state to JSON: one file for each kind of body. Imports auth and below."""
