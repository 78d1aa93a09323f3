"""What authorization servers know this service as (atproto.com/specs/oauth, "Clients")."""

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
"""Not localhost: authorization servers refuse to send anybody there (RFC 8252, 8.3)."""


@dataclass(frozen=True)
class OAuthApp:
    """The client: confidential where it has keys, else the public one of a developer's machine."""

    base_url: str
    client_id: str
    redirect_uri: str
    scope: str
    keys: tuple[SigningKey, ...] = ()

    @property
    def signs_with(self) -> SigningKey | None:
        """Return the key of new logins; a login stays with the key that it began with."""
        return self.keys[0] if self.keys else None

    def metadata(self) -> dict[str, Any]:
        """Return the client metadata document, which the client ID is the URL of."""
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
    """Return the OAuth client for this origin; None where OAuth allows none."""
    parts = urlsplit(base_url)
    if parts.scheme == "https":
        return OAuthApp(base_url, base_url + METADATA_PATH, base_url + CALLBACK_PATH, scope, tuple(keys))
    if parts.hostname not in LOOPBACK:
        return None
    # the port is not looked at, so the developer's consent outlives a change of it
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    declared = {"redirect_uri": f"http://{host}{CALLBACK_PATH}", "scope": scope}
    return OAuthApp(base_url, f"http://localhost?{urlencode(declared)}", base_url + CALLBACK_PATH, scope)
