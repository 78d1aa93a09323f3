"""Public copies of ungated audio."""
