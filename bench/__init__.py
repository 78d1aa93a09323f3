"""The measured promises, each a ratio between two arms of one run, which is comparable across machines."""
