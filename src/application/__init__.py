"""Use cases of a person or an operator: load, decide, save. No HTTP. Imports replay and below."""
