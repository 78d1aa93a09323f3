"""Request bodies: JSON, form or multipart, read into the same fields."""
