"""No warning is captured: worlds look at the errors themselves."""

import logging
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Thousands of deliveries are logged, and to capture that takes longer than to make them."""
    logging.disable(logging.WARNING)
    yield
    logging.disable(logging.NOTSET)
