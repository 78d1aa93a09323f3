"""The pages of docs/ that are made from the code: `python -m service.pages.NAME > docs/NAME.md`."""
