"""The real service, as a process, and a real PDS: what people are promised, from outside."""
