"""The service seen from outside alone: processes, requests and answers, and the records at a PDS."""
