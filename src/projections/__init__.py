"""Read models, one file each: a table and a function of the folded track. Imports eventstore and aggregates."""
