"""What every command passes: idempotency, ownership, media intake, the unit of work, waiting. Imports responses and below."""
