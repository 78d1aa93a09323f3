"""Repairs of accounts as jobs: a plan is made, shown, and applied as it was shown, by any process."""
