"""The relay: claim, deliver, verify, settle, and how its order and its cost stay bounded."""
