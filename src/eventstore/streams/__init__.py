"""From stored rows to aggregates: decoding, replay, and the cache of latest states."""
