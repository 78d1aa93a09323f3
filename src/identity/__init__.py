"""Who: accounts, DID resolution, sign-in, sealed tokens, browser sessions. Imports eventstore and aggregates."""
