"""The benches of ./dev bench."""
