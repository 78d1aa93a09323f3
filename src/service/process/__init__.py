"""What runs: the ASGI app, its lifespan, periodic jobs. Imports wiring and below."""
