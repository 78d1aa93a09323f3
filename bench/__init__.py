"""The measured promises: each as a ratio between two arms of one run, since machines differ and are shared."""
