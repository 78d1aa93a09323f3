"""Sign-ins that refuse every caller without a network, since tests of HTTP have no name servers."""

from identity.errors import BadCredentialsError, UnknownIdentityError


class NoSignIn:
    """Both kinds of sign-in; `app` is the OAuth client."""

    def __init__(self, app):
        self.app = app

    async def __call__(self, *_, **__):
        raise BadCredentialsError

    async def start(self, *_, **__):
        raise UnknownIdentityError

    def attempted(self, *_):
        return None

    finish = start


def without_sign_in(world):
    """The app of this world, whose sign-ins refuse every caller."""
    sign_in = NoSignIn(world.services.oauth.app)
    return world.serve(sign_in=sign_in, oauth=sign_in)
