"""Commands on the record at the PDS: restore, resolve, retry, change its namespace, copy its audio there."""
