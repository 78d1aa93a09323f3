"""Records that somebody else wrote: kept, until their owner decides. Imports relay and below."""
