"""The settings as the page docs/settings.md: `python -m tests.service.pages.settings > docs/settings.md`."""

import ast
import inspect
import sys
from itertools import pairwise
from typing import Final

from service.config.settings import Settings, Shown

HEAD: Final = """\
# Settings

Read from the environment once, at startup. Every name begins with `MASTERTAPE_`; an unknown name is an error. Lists are
separated by commas. An empty value counts as unset. On Kubernetes set `enableServiceLinks: false`: otherwise a service called
`mastertape` injects variables with this prefix.

A setting may also be a file with its whole name, such as `MASTERTAPE_SECRET_KEYS`, in `/run/secrets`, where container engines mount
secrets, or in the folder of a systemd unit's credentials (`LoadCredential=`): fewer can read it than the environment of a process,
which goes first. The S3 credentials have a file of their own, `AWS_SHARED_CREDENTIALS_FILE`.

<!-- generated from src/service/config/settings.py by `python -m tests.service.pages.settings`; a test checks that it is current -->

| name | default | meaning |
|---|---|---|
"""
WORDS: Final = {"None": "none", "()": "none", "True": "on", "False": "off"}


def meanings() -> dict[str, str]:
    """Return the docstring below each field, by its name."""
    (settings,) = ast.parse(inspect.getsource(Settings)).body
    return {
        field.target.id: " ".join(below.value.value.split())
        for field, below in pairwise(settings.body)
        if isinstance(field, ast.AnnAssign)
    }


def page() -> str:
    rows, meaning = [], meanings()
    for name, field in Settings.model_fields.items():
        default = WORDS.get(str(field.default), f"`{field.default}`")
        shown = next((each for each in field.metadata if isinstance(each, Shown)), default)
        rows.append(f"| `{name.upper()}` | {shown} | {meaning[name]} |\n")
    return HEAD + "".join(rows)


if __name__ == "__main__":
    sys.stdout.write(page())
