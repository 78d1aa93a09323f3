"""The checks of `mastertape doctor`."""
