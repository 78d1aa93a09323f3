"""Records that other clients changed: kept until their owner decides. Imports relay and below."""
