"""HTTP in; the response, the log, the media and the targets out."""
