"""The PDS client, its verdicts and its rate limits."""
