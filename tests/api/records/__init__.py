"""Records on the PDS: restore, copy of audio, conflicts, adoption."""
