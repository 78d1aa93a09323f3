"""Commands on a track: upload, edit, replace the audio, delete, revert."""
