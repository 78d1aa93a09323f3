"""Pages for people: what they show the readers of the API read, and their forms are commands of the API, as the person whose browser asks."""
