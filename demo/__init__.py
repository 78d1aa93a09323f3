"""The whole job once, on a real PDS: what people see of mastertape first. Runs the service as its users do."""
