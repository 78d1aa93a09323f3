"""Looks at accounts whose lanes wait or whose hosts don't answer. Imports mirror and below."""
