"""Processes: settings, wiring, HTTP server, scheduler, command line. Imports everything."""
