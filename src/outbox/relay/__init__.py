"""The relay: claim a lane, read once, write the intent, send, settle. Imports blobs, probes, mirror and below."""
