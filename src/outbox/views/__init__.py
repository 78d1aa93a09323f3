"""What people see of deliveries: a track's mirror, lanes, hosts, failures, time to drain. Imports relay and below."""
