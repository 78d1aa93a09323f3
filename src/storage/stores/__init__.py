"""Where bytes are kept: a disk, or an S3 bucket."""
