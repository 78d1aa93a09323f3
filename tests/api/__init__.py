"""The HTTP door: requests in, answers out, and what the log, the media and the targets say afterwards."""
