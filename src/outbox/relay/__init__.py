"""The relay: claim a lane, read the subject, record the intent, send, settle. Imports blobs, probes, mirror and below."""
