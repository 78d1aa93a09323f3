"""The database schema: all tables, migrations, and the leases of periodic jobs. Imports config."""
