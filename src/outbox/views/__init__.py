"""Reports of deliveries for owners and operators: mirrors, lanes, hosts, failures, time to drain. Imports relay and below."""
