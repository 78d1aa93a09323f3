"""Who acts for the service."""

import pytest

from identity.accounts.credentials import Scope


@pytest.fixture
def admin(world):
    return world.sign_in("admin", scope=Scope.ADMIN)
