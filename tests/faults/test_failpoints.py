"""Every named point is a function of the service: a rename is found here, and not by a kill that never comes."""

from importlib import import_module
from operator import attrgetter

import pytest

from tests.faults.failpoints import POINTS


@pytest.mark.parametrize("function", sorted({point.function for point in POINTS.values()}))
def test_a_named_point_is_a_function(function: str) -> None:
    module, _, name = function.partition(":")
    assert callable(attrgetter(name)(import_module(module)))
