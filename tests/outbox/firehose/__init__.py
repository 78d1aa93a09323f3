"""The firehose follower and its filter for our own writes."""
