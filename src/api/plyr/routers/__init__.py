"""The routes under `/plyr`, one file for each resource."""
