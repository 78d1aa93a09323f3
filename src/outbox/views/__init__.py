"""What people see: the mirror of a track, lanes, hosts, failures, and how long it will take. Imports relay and below."""
