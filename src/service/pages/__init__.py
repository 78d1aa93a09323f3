"""The generated pages of docs/: `python -m service.pages.NAME > docs/NAME.md`."""
