"""One file for each kind of page: its addresses, what it asks the API, and which template shows it."""
