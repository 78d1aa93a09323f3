"""Makes what is derived from media: finds what lacks it, makes it in the background, and lets go of what no track needs."""
