"""The rule book of a track."""
