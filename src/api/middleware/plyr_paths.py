"""Paths under `/plyr`, each of which stands for the path of a route of our own."""

from typing import Final

PREFIX: Final = "/plyr"


def is_plyr(path: str) -> bool:
    """Whether the path is one of the surface under `/plyr`."""
    return path.startswith(f"{PREFIX}/")


def path_behind(path: str) -> str:
    """Return the path of our own that a path stands for, so that each rule about paths is written once."""
    return path.removeprefix(PREFIX).rstrip("/") or "/" if is_plyr(path) else path
