"""Sessions at a PDS: encrypted tokens, their refresh, and requests signed with them. Imports resolution."""
