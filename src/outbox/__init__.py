"""What the PDS must hold: targets and lanes, record mapping, relay, PDS adapter. Imports eventstore and aggregates."""
