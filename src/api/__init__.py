"""HTTP: commands, routers, schemas, the one error table. May import all but service."""
