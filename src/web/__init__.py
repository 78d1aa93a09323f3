"""Pages for people. Each is made from answers of the API, which it asks in this process as the person whose browser asks."""
