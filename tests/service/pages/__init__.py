"""The pages of docs/ that are generated: `python -m tests.service.pages.NAME > docs/NAME.md`."""
