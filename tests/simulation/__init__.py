"""Accounts, PDSes, network, time and relays in one thread: thousands of hours of bad luck, each of them repeatable."""
