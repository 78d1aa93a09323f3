"""From a handle or DID to a PDS, asked over a guarded HTTP client."""
