"""The record of a track: its mapping, its lexicon and its CID. Imports nothing of the outbox."""
