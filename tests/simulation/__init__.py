"""Accounts, PDSes, network, time and relays in one thread: thousands of hours of faults, each run repeatable."""
