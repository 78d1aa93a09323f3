"""The settings. Only this module reads them, from the environment or files of secrets; they are checked once and frozen."""

import difflib
import ipaddress
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from aggregates.errors import ServiceError
from identity.sessions.key_pairs import signing_keys

MIN_KEY_LENGTH: Final = 32


def matching(is_valid: Callable[[str], object], said: str) -> AfterValidator:
    """Return a validator that says what a value must be, or contain."""

    def check(value: str | None) -> str | None:
        if value is not None and not is_valid(value):
            raise ValueError(said)
        return value

    return AfterValidator(check)


def is_host_and_port(value: str) -> bool:
    """Whether it is HOST:PORT, where the host is a name or an IPv4 address."""
    name, _, port = value.rpartition(":")
    return bool(name) and ":" not in name and port.isascii() and port.isdecimal() and 0 < int(port) < 65536  # noqa: PLR2004


NSID_PATTERN: Final = re.compile(
    r"[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)+\.[a-zA-Z][a-zA-Z0-9]{0,62}"
)
"""https://atproto.com/specs/nsid"""
DID_PATTERN: Final = re.compile(r"did:(?:plc:[a-z2-7]{24}|web:[a-z0-9.-]+(?:%3A[0-9]{1,5})?)")
MEDIA_PATTERN: Final = re.compile(r"disk:.+|s3:[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
NSID: Final = matching(NSID_PATTERN.fullmatch, "must be an NSID such as fm.plyr.track")
DID: Final = matching(DID_PATTERN.fullmatch, "must be DIDs: did:plc:... or did:web:...")
MEDIA: Final = matching(MEDIA_PATTERN.fullmatch, "must be disk:FOLDER or s3:BUCKET")
HOST_AND_PORT: Final = matching(is_host_and_port, "must be HOST:PORT, such as 127.0.0.1:9464")
SCOPE: Final = matching(
    lambda value: "atproto" in value.split(), "must contain atproto, which every sign-in needs"
)


def split(value: Any) -> Any:
    """Split a comma-separated text; a list stays unchanged."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def web_url(value: str) -> str:
    """Check an http or https URL, and return it without a trailing slash."""
    try:
        parts = urlsplit(value)
        parts.port  # noqa: B018 (raises)
    except ValueError:
        raise ValueError("must be a URL") from None
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("must be a URL that begins with http:// or https://")
    if "@" in parts.netloc or parts.fragment:
        raise ValueError("must be a URL without user name and fragment")
    return value.rstrip("/")


def origin(value: str) -> str:
    """Check an origin: scheme, host and port without a path."""
    parts = urlsplit(web_url(value))
    if parts.path or parts.query:
        raise ValueError("must be an origin such as https://tape.example, without a path")
    return value.rstrip("/").lower()


def loopback_origin(value: str) -> str:
    if not is_loopback(origin(value)):
        raise ValueError("must be origins of this machine, such as http://localhost:2583")
    return origin(value)


def secret_key(value: SecretStr) -> SecretStr:
    if len(value.get_secret_value()) < MIN_KEY_LENGTH:
        raise ValueError(f"each key must have at least {MIN_KEY_LENGTH} characters")
    return value


def private_jwks(value: SecretStr | None) -> SecretStr | None:
    """Check that these are private P-256 keys, which every ATProto authorization server supports."""
    if value is None:
        return None
    try:
        signing_keys(value.get_secret_value())
    except ValueError:
        raise ValueError(
            "must be a JSON list of private P-256 keys, each with kty, crv, kid, x, y and d"
        ) from None
    return value


PREFIX: Final = "MASTERTAPE_"
SECRETS_FOLDER: Final = Path("/run/secrets")
"""Where container engines mount secrets."""
CREDENTIALS_DIRECTORY: Final = "CREDENTIALS_DIRECTORY"
"""The variable in which systemd names the folder of a unit's credentials."""
WILDCARDS: Final = frozenset({"0.0.0.0", "::"})  # noqa: S104 (named to be refused)

List = (NoDecode, BeforeValidator(split))
Origin = Annotated[str, AfterValidator(origin)]
WebUrl = Annotated[str, AfterValidator(web_url)]
Nsid = Annotated[str, NSID]
Dids = Annotated[tuple[Annotated[str, DID], ...], *List]


class SettingsError(ServiceError):
    """The settings are invalid; each line of the message is about one setting."""


class Shown(str):
    """The text of docs/settings.md for a default that depends on other settings."""

    __slots__ = ()


class Settings(BaseSettings):
    """The settings of one process. `load` reads them from the environment."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, extra="forbid", frozen=True, validate_default=True
    )

    data: Path = Path("data")
    """Folder for everything that is kept on this machine."""
    database_url: str = Field("sqlite:///DATA/mastertape.db", repr=False)
    """`sqlite:///FILE` or `postgresql://USER:PASSWORD@HOST/NAME`."""
    media: Annotated[str, MEDIA] = "disk:DATA/media"
    """Where audio and artwork are kept: `disk:FOLDER` or `s3:BUCKET`; S3 credentials come from the usual `AWS_*`
    variables and files."""
    s3_endpoint: WebUrl | None = None
    """Endpoint URL of an S3 service other than Amazon's."""
    s3_public_url: WebUrl | None = None
    """Public URL of the bucket, of which only `public/` may be publicly readable. Ungated audio has a copy there,
    which its record names. It is written into records: choose it once."""
    host: str = "127.0.0.1"
    """Address to listen on."""
    port: int = Field(8000, ge=1, le=65535)
    """Port to listen on."""
    base_url: str = "http://HOST:PORT"
    """The origin that browsers use. It is written into every record: choose it once."""
    secret_keys: Annotated[tuple[Annotated[SecretStr, AfterValidator(secret_key)], ...], *List] = ()
    """Secrets of at least 32 characters. The first encrypts tokens at rest, all decrypt. When unset and BASE_URL is
    loopback, one is generated in `DATA/secret_keys`; required otherwise."""
    collection: Nsid = "fm.plyr.track"
    """Collection that records are written to."""
    old_collection: Nsid = "app.relay.track"
    """Collection that older records are moved from."""
    plc_url: Annotated[WebUrl | None, Shown("the public directory")] = None
    """The PLC directory that resolves DIDs."""
    dev_origins: Annotated[tuple[Annotated[str, AfterValidator(loopback_origin)], ...], *List] = ()
    """Exact loopback origins that may be contacted over plain http, also for `.test` handles. For development: refused
    when BASE_URL is https."""
    oauth_scope: Annotated[
        Annotated[str, SCOPE] | None,
        Shown("`atproto`, `repo:` and each collection, `blob:audio/* blob:image/*`"),
    ] = None
    """The OAuth scope that people are asked to grant. Use `atproto transition:generic` for PDSes without granular scopes."""
    oauth_keys: Annotated[SecretStr | None, AfterValidator(private_jwks)] = None
    """Private P-256 keys of the confidential OAuth client: a JSON list of JWKs. The first signs new logins, all are
    published. Required when BASE_URL is https: `mastertape oauth-key` makes one; docs/security.md
    says how to rotate them."""
    app_password_login: Annotated[bool, Shown("on when BASE_URL is loopback, else off")] = Field(
        default_factory=lambda known: is_loopback(known["base_url"])
    )
    """Whether people may sign in with an app password."""
    admin_dids: Dids = ()
    """Accounts that may use `/ops` and read the audit of every account."""
    operator_dids: Dids = ()
    """Accounts that may read `/ops` and the audit of every account, and change nothing. ADMIN_DIDS may, too."""
    cors_origins: Annotated[tuple[Origin, ...], *List] = ()
    """Origins whose pages may call the API with a person's cookie."""
    supporters: Annotated[tuple[Literal["atprotofans", "attested"], ...], *List] = ()
    """Where it is asked whether a listener supports an artist: `atprotofans`, `attested` (payments proven by ATTESTED_BROKERS), or both. When unset, only the
    owner may play gated audio."""
    atprotofans_url: Origin = "https://atprotofans.com"
    """The origin of atprotofans."""
    attested_brokers: Dids = ()
    """Brokers of attested.network (DIDs) whose proofs of payments count. Required with SUPPORTERS `attested`."""
    relay: bool = True
    """Whether `serve` also runs a relay."""
    lanes: int = Field(32, ge=1, le=1000)
    """Accounts that one relay writes for at the same time."""
    lease_seconds: int = Field(60, ge=10, le=3600)
    """How long a relay may be silent before another one takes over its accounts."""
    max_upload_bytes: int = Field(1_610_612_736, ge=1)
    """Largest upload, in bytes."""
    sweep_grace_days: int = Field(30, ge=1)
    """How long unreferenced bytes are kept. Keep it longer than backups are kept."""
    scan_minutes: float = Field(60, gt=0, le=10080)
    """How often the records on the PDSes are scanned."""
    verify_after_seconds: int = Field(300, ge=10, le=3600)
    """Seconds within which a relay reads back the newest write of an account, for up to 20 accounts of each PDS. The scan compares the others."""
    firehose: bool = False
    """Whether changes made elsewhere are also received as they happen, from each PDS, and likes and comments of people without an account here."""
    rate_limits: bool = True
    """Limits per minute: 100 requests of one principal, 10 sign-ins, 20 uploads, 600 reads of audio and artwork."""
    event_bytes_per_day: int = Field(64_000_000, ge=1)
    """How many bytes of events the commands of one account may add to the log in a day (UTC)."""
    metrics: Annotated[str | None, HOST_AND_PORT] = None
    """`HOST:PORT` for `/metrics`, `/healthz` and `/readyz` of `serve` and `relay`, without sign-in: keep it private.
    When BASE_URL is loopback, `serve` has `/metrics` on its own address too."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Least severe level that is logged."""

    @property
    def is_loopback(self) -> bool:
        """Whether BASE_URL is loopback, so that only browsers on this machine use the service."""
        return is_loopback(self.base_url)

    @property
    def namespace(self) -> str:
        """What the collections of all kinds begin with."""
        return self.collection.rpartition(".")[0]

    @property
    def old_namespace(self) -> str:
        return self.old_collection.rpartition(".")[0]

    @property
    def is_sqlite(self) -> bool:
        return self.database_url.startswith("sqlite:")

    @property
    def folders(self) -> tuple[Path, ...]:
        folders = [self.data]
        if self.media.startswith("disk:"):
            folders.append(Path(self.media.removeprefix("disk:")))
        if self.is_sqlite:
            folders.append(Path(str(make_url(self.database_url).database)).parent)
        return tuple(dict.fromkeys(folders))

    @field_validator("database_url")
    @classmethod
    def _database(cls, value: str, info: ValidationInfo) -> str:
        try:
            url = make_url(value.replace("sqlite:///DATA/", f"sqlite:///{info.data.get('data')}/"))
        except ArgumentError:
            raise ValueError("must be sqlite:///FILE or postgresql://...") from None
        if url.drivername in {"postgres", "postgresql"}:
            url = url.set(drivername="postgresql+psycopg")
        if url.drivername == "sqlite" and url.database in {None, "", ":memory:"}:
            raise ValueError("must name a file: a log in memory is lost")
        if url.drivername not in {"sqlite", "postgresql+psycopg"}:
            raise ValueError("must be sqlite:///FILE or postgresql://...")
        # alembic's configuration would read "%2F" in the path of a socket as an interpolation
        return url.render_as_string(hide_password=False).replace("%2F", "/")

    @field_validator("media")
    @classmethod
    def _media(cls, value: str, info: ValidationInfo) -> str:
        return value.replace("disk:DATA/", f"disk:{info.data.get('data')}/")

    @field_validator("base_url")
    @classmethod
    def _base_url(cls, value: str, info: ValidationInfo) -> str:
        if value != cls.model_fields["base_url"].default:
            return origin(value)
        host, port = info.data.get("host"), info.data.get("port")
        if host in WILDCARDS:
            raise ValueError(f"must be set when HOST is {host}: browsers need a name")
        return origin(f"http://[{host}]:{port}" if ":" in str(host) else f"http://{host}:{port or 1}")

    @model_validator(mode="after")
    def _agree(self) -> Self:
        is_https = self.base_url.startswith("https:")
        problems = {
            "DEV_ORIGINS is for development: it is refused when BASE_URL is https": self.dev_origins
            and is_https,
            "SECRET_KEYS is required when BASE_URL is not loopback: `openssl rand -hex 32` makes one": not (
                self.secret_keys or self.is_loopback
            ),
            "OAUTH_KEYS is required when BASE_URL is https: `mastertape oauth-key` makes one": (
                self.oauth_keys is None and is_https and not self.is_loopback
            ),
            "S3_PUBLIC_URL requires MEDIA to be s3:BUCKET": (
                self.s3_public_url and not self.media.startswith("s3:")
            ),
            "ATTESTED_BROKERS is required with SUPPORTERS attested": "attested" in self.supporters
            and not self.attested_brokers,
            "COLLECTION and OLD_COLLECTION must differ": self.collection == self.old_collection,
        }
        if found := [problem for problem, is_there in problems.items() if is_there]:
            raise ValueError("\n".join(found))
        return self


def load() -> Settings:
    """Read the settings from the environment and from files of secrets; raises SettingsError, which says all that is wrong."""
    folders = secrets_folders()
    written = [*os.environ, *(file.name for each in folders for file in each.iterdir())]
    known, mistakes = names(), []
    for name in written:
        if name.upper().startswith(PREFIX) and name.upper() not in known:
            closest = difflib.get_close_matches(name.upper(), known, n=1, cutoff=0)[0]
            mistakes.append(f"{name} is not a setting; did you mean {closest}?")
    try:
        settings = Settings(_secrets_dir=folders)
    except ValidationError as error:
        for each in error.errors():
            message = each["msg"].removeprefix("Value error, ")
            if not each["loc"]:
                mistakes += [PREFIX + line for line in message.splitlines()]
            elif each["type"] != "default_factory_not_called":  # which another mistake has caused
                mistakes.append(f"{PREFIX}{str(each['loc'][0]).upper()}: {message[:1].lower()}{message[1:]}")
    if mistakes:
        raise SettingsError("\n".join(dict.fromkeys(mistakes)))
    return settings


def secrets_folders() -> list[Path]:
    """Return the folders in which a file named as a setting has its value; what the environment says goes first."""
    named = os.environ.get(CREDENTIALS_DIRECTORY)
    return [each for each in (SECRETS_FOLDER, *([Path(named)] if named else ())) if each.is_dir()]


def override(**given: object) -> None:
    """Set these settings in the environment, for this process and those that it starts; None leaves one as it is."""
    os.environ.update(
        {PREFIX + name.upper(): str(value) for name, value in given.items() if value is not None}
    )


def names() -> list[str]:
    return [PREFIX + field.upper() for field in Settings.model_fields]
