"""Public copies of ungated audio in S3: a projection of what should exist, and the worker that makes it so."""
