"""Sign-ins that refuse every caller without a network, since tests of HTTP have no name servers."""

from identity.errors import BadCredentialsError, UnknownIdentityError


class ShutDoors:
    """Both of them, of the client that `app` is."""

    def __init__(self, app):
        self.app = app

    async def sign_in(self, *_, **__):
        raise BadCredentialsError

    async def start(self, *_, **__):
        raise UnknownIdentityError

    async def finish(self, *_, **__):
        raise UnknownIdentityError


def shut(world):
    """The app of this world with its doors shut."""
    doors = ShutDoors(world.services.oauth.app)
    return world.serve(sign_in=doors, oauth=doors)
