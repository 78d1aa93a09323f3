"""The relay: claim a lane, read the track, record the intent, send, settle. Imports blobs, probes, mirror and below."""
