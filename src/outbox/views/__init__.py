"""Reports of deliveries for owners and operators: mirrors, lanes, hosts, failures. Imports relay and below."""
