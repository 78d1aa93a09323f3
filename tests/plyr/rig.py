"""What tests use of `plyrfm`: both of its clients and its command line in a process that stays, and that as a script."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from tests.plyr.environment import PLYRFM, PYTHON

DRIVER = Path(__file__).with_name("driver.py")
COMMAND_SECONDS = 60


class RefusedError(Exception):
    """The client raised: `error` is the class, `status` and `body` are the response's."""

    def __init__(self, answer: dict[str, Any]) -> None:
        super().__init__(str(answer))
        self.error, self.status, self.body = answer["error"], answer["status"], answer["body"]


class Plyrfm:
    """The clients of one account, with the address and the token that they take from the environment."""

    def __init__(self, url: str, token: str | None, folder: Path) -> None:
        self.folder = folder
        plain = {name: value for name, value in os.environ.items() if not name.startswith("PLYR_")}
        self.environment = {
            **plain,
            "PLYR_API_URL": f"{url.rstrip('/')}/plyr",
            "COLUMNS": "300",
            "NO_COLOR": "1",
        }
        if token is not None:
            self.environment["PLYR_TOKEN"] = token
        self._driver: subprocess.Popen[str] | None = None

    def call(self, name: str, /, *args: Any, client: str = "sync", **kwargs: Any) -> Any:
        """Call a method of a client, and return what it returned as JSON values; raises RefusedError."""
        if self._driver is None:
            self._driver = subprocess.Popen(
                [PYTHON, DRIVER],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                cwd=self.folder,
                env=self.environment,
            )
        assert self._driver.stdin is not None
        assert self._driver.stdout is not None
        print(
            json.dumps({"client": client, "call": name, "args": args, "kwargs": kwargs}),
            file=self._driver.stdin,
            flush=True,
        )
        answer = json.loads(self._driver.stdout.readline())
        if "error" in answer:
            raise RefusedError(answer)
        return answer["value"]

    def types(self, *words: str) -> str:
        """Type a command, and return what it says; it must succeed."""
        status, said = self.call("types", *words)
        assert status == 0, (words, said)
        return str(said)

    def runs(self, *words: str) -> str:
        """Type a command in a process of its own."""
        done = subprocess.run(
            [PLYRFM, *words],
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            cwd=self.folder,
            env=self.environment,
            check=False,
        )
        assert done.returncode == 0, (words, done.stdout, done.stderr)
        return done.stdout

    def close(self) -> None:
        if self._driver is not None:
            self._driver.communicate(timeout=COMMAND_SECONDS)
