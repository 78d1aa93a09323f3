"""The record: its fields, its lexicon and its CID."""
