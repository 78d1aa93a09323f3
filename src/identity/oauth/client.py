"""The OAuth client that this service is (atproto.com/specs/oauth, "Clients")."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

from identity.sessions.key_pairs import SigningKey

NAME: Final = "mastertape"
CALLBACK_PATH: Final = "/auth/callback"
METADATA_PATH: Final = "/oauth-client-metadata.json"
JWKS_PATH: Final = "/jwks.json"
LOOPBACK: Final = frozenset({"127.0.0.1", "::1"})
"""Not localhost: authorization servers refuse it as a redirect URI (RFC 8252, 8.3)."""


@dataclass(frozen=True)
class OAuthApp:
    """A confidential client if it has keys, otherwise the public client of a development machine."""

    base_url: str
    client_id: str
    redirect_uri: str
    scope: str
    keys: tuple[SigningKey, ...] = ()

    @property
    def newest_key(self) -> SigningKey | None:
        """The key of new logins; an existing login keeps the key that it began with."""
        return self.keys[0] if self.keys else None

    def metadata(self) -> dict[str, Any]:
        """Return the client metadata document; the client ID is its URL."""
        return {
            "client_id": self.client_id,
            "client_name": NAME,
            "client_uri": self.base_url,
            "redirect_uris": [self.redirect_uri],
            "scope": self.scope,
            "grant_types": ["authorization_code", "refresh_token"],
            "response_types": ["code"],
            "application_type": "web",
            "dpop_bound_access_tokens": True,
            "token_endpoint_auth_method": "private_key_jwt",
            "token_endpoint_auth_signing_alg": "ES256",
            "jwks_uri": self.base_url + JWKS_PATH,
        }

    def jwks(self) -> dict[str, Any]:
        """Return the public keys, including those of older logins."""
        return {"keys": [key.public_jwk() for key in self.keys]}


def oauth_app(base_url: str, scope: str, keys: Sequence[SigningKey]) -> OAuthApp | None:
    """Return the OAuth client for this origin; None if OAuth allows no client there."""
    parts = urlsplit(base_url)
    if parts.scheme == "https":
        return OAuthApp(base_url, base_url + METADATA_PATH, base_url + CALLBACK_PATH, scope, tuple(keys))
    if parts.hostname not in LOOPBACK:
        return None
    # without the port, which authorization servers ignore: the developer's consent survives a change of port
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    declared = {"redirect_uri": f"http://{host}{CALLBACK_PATH}", "scope": scope}
    return OAuthApp(base_url, f"http://localhost?{urlencode(declared)}", base_url + CALLBACK_PATH, scope)
