"""Valid and invalid values of each setting, and the error messages."""

import json
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from click.testing import CliRunner
from pydantic import SecretStr

from service.cli.main import main
from service.config import settings as settings_module
from service.config.secret_keys import new_oauth_keys, oauth_keys, secret_keys
from service.config.settings import PREFIX, Settings, SettingsError, load
from tests.service.pages.settings import page

KEY = "k" * 32
PRIVATE_KEY = new_oauth_keys()


def given(monkeypatch: pytest.MonkeyPatch, **values: str) -> None:
    for name, value in values.items():
        monkeypatch.setenv(PREFIX + name, value)


@pytest.mark.parametrize(
    ("name", "written", "value"),
    [
        ("DATA", "/srv/tape", Path("/srv/tape")),
        ("DATABASE_URL", "postgres://a:b@h/n", "postgresql+psycopg://a:b@h/n"),
        ("DATABASE_URL", "postgresql://a:b%40@h/n", "postgresql+psycopg://a:b%40@h/n"),
        (
            "DATABASE_URL",
            "postgresql+psycopg://a@/n?host=/run/pg",
            "postgresql+psycopg://a@/n?host=/run/pg",
        ),
        ("DATABASE_URL", "sqlite:////var/tape.db", "sqlite:////var/tape.db"),
        ("MEDIA", "s3:tapes", "s3:tapes"),
        ("MEDIA", "disk:/srv/media", "disk:/srv/media"),
        ("S3_ENDPOINT", "http://s3:7070/", "http://s3:7070"),
        ("HOST", "::1", "::1"),
        ("PORT", "8001", 8001),
        ("BASE_URL", "http://localhost:9000/", "http://localhost:9000"),
        ("COLLECTION", "fm.plyr.dev.track", "fm.plyr.dev.track"),
        ("PLC_URL", "http://localhost:2582", "http://localhost:2582"),
        ("DEV_ORIGINS", "http://localhost:2583, http://[::1]:1", ("http://localhost:2583", "http://[::1]:1")),
        ("OAUTH_SCOPE", "atproto transition:generic", "atproto transition:generic"),
        ("APP_PASSWORD_LOGIN", "off", False),
        ("ADMIN_DIDS", "did:web:a.example,", ("did:web:a.example",)),
        ("CORS_ORIGINS", "https://a.example,https://b.example", ("https://a.example", "https://b.example")),
        ("SUPPORTERS", "atprotofans", ("atprotofans",)),
        ("ATPROTOFANS_URL", "http://localhost:1", "http://localhost:1"),
        ("RELAY", "off", False),
        ("FIREHOSE", "on", True),
        ("LOG_LEVEL", "debug", "debug"),
        ("PORT", "", 8000),
    ],
)
def test_value_is_understood(monkeypatch: pytest.MonkeyPatch, name: str, written: str, value: object) -> None:
    given(monkeypatch, **{name: written})
    assert getattr(load(), name.lower()) == value


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"DATABASE_URL": "mysql://a:hush@h/n"}, "DATABASE_URL: must be sqlite:///FILE or postgresql://..."),
        ({"DATABASE_URL": "hush"}, "DATABASE_URL: must be sqlite:///FILE or postgresql://..."),
        ({"DATABASE_URL": "sqlite://"}, "DATABASE_URL: must name a file: a log in memory is lost"),
        ({"MEDIA": "data/media"}, "MEDIA: must be disk:FOLDER or s3:BUCKET"),
        ({"MEDIA": "s3:No"}, "MEDIA: must be disk:FOLDER or s3:BUCKET"),
        ({"S3_ENDPOINT": "s3:7070"}, "S3_ENDPOINT: must be a URL that begins with http:// or https://"),
        ({"S3_PUBLIC_URL": "https://a.example"}, "S3_PUBLIC_URL requires MEDIA to be s3:BUCKET"),
        ({"PORT": "0"}, "PORT: input should be greater than or equal to 1"),
        ({"PORT": "http"}, "PORT: input should be a valid integer, unable to parse string as an integer"),
        ({"HOST": "0.0.0.0"}, "BASE_URL: must be set when HOST is 0.0.0.0: browsers need a name"),  # noqa: S104
        ({"BASE_URL": "tape.example"}, "BASE_URL: must be a URL that begins with http:// or https://"),
        ({"BASE_URL": "https://u:hush@a.example"}, "BASE_URL: must be a URL without user name and fragment"),
        (
            {"BASE_URL": "https://a.example/tape"},
            "BASE_URL: must be an origin such as https://tape.example, without a path",
        ),
        (
            {"BASE_URL": "http://a.example"},
            "SECRET_KEYS is required when BASE_URL is not loopback: `openssl rand -hex 32` makes one",
        ),
        ({"SECRET_KEYS": "hush"}, "SECRET_KEYS: each key must have at least 32 characters"),
        ({"COLLECTION": "track"}, "COLLECTION: must be an NSID such as fm.plyr.track"),
        ({"SUPPORTERS": "patreon"}, "SUPPORTERS: input should be 'atprotofans' or 'attested'"),
        ({"SUPPORTERS": "attested"}, "ATTESTED_BROKERS is required with SUPPORTERS attested"),
        ({"SUPPORTERS_URL": "https://a.example"}, "SUPPORTERS_URL is not a setting; did you mean MASTERTAPE_SUPPORTERS?"),
        ({"COLLECTION": "app.relay.track"}, "COLLECTION and OLD_COLLECTION must differ"),
        ({"PLC_URL": "ftp://plc"}, "PLC_URL: must be a URL that begins with http:// or https://"),
        (
            {"DEV_ORIGINS": "http://pds.example"},
            "DEV_ORIGINS: must be origins of this machine, such as http://localhost:2583",
        ),
        (
            {"DEV_ORIGINS": "http://localhost:1/xrpc"},
            "DEV_ORIGINS: must be an origin such as https://tape.example, without a path",
        ),
        (
            {
                "DEV_ORIGINS": "http://localhost:1",
                "BASE_URL": "https://a.example",
                "SECRET_KEYS": KEY,
                "OAUTH_KEYS": PRIVATE_KEY,
            },
            "DEV_ORIGINS is for development: it is refused when BASE_URL is https",
        ),
        ({"OAUTH_SCOPE": "repo:*"}, "OAUTH_SCOPE: must contain atproto, which every sign-in needs"),
        (
            {"OAUTH_KEYS": "hush"},
            "OAUTH_KEYS: must be a JSON list of private P-256 keys, each with kty, crv, kid, x, y and d",
        ),
        (
            {"OAUTH_KEYS": '[{"kty":"EC","crv":"P-256","kid":"1","x":"x","y":"y","d":"hush"}]'},
            "OAUTH_KEYS: must be a JSON list of private P-256 keys, each with kty, crv, kid, x, y and d",
        ),
        (
            {"BASE_URL": "https://a.example", "SECRET_KEYS": KEY},
            "OAUTH_KEYS is required when BASE_URL is https: `mastertape oauth-key` makes one",
        ),
        ({"APP_PASSWORD_LOGIN": "perhaps"}, "APP_PASSWORD_LOGIN: input should be a valid boolean, unable to interpret input"),
        ({"ADMIN_DIDS": "ann.test"}, "ADMIN_DIDS: must be DIDs: did:plc:... or did:web:..."),
        ({"CORS_ORIGINS": "*"}, "CORS_ORIGINS: must be a URL that begins with http:// or https://"),
        ({"LANES": "0"}, "LANES: input should be greater than or equal to 1"),
        ({"LEASE_SECONDS": "1"}, "LEASE_SECONDS: input should be greater than or equal to 10"),
        ({"MAX_UPLOAD_BYTES": "-1"}, "MAX_UPLOAD_BYTES: input should be greater than or equal to 1"),
        ({"SWEEP_GRACE_DAYS": "0"}, "SWEEP_GRACE_DAYS: input should be greater than or equal to 1"),
        ({"SCAN_MINUTES": "0"}, "SCAN_MINUTES: input should be greater than 0"),
        ({"LOG_LEVEL": "loud"}, "LOG_LEVEL: input should be 'debug', 'info', 'warning' or 'error'"),
        ({"PROT": "8000"}, "PROT is not a setting; did you mean MASTERTAPE_PORT?"),
    ],
)  # fmt: skip
def test_mistake_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, values: dict[str, str], sentence: str
) -> None:
    given(monkeypatch, **values)
    with pytest.raises(SettingsError) as caught:
        load()
    assert str(caught.value) == PREFIX + sentence
    assert "hush" not in str(caught.value)


def test_all_mistakes_are_reported_together(monkeypatch: pytest.MonkeyPatch) -> None:
    given(
        monkeypatch,
        PORT="x",
        SECRET_KEYS="a,b",
        LANS="1",
    )
    with pytest.raises(SettingsError) as caught:
        load()
    assert [line.split()[0].strip(":") for line in str(caught.value).splitlines()] == [
        "MASTERTAPE_LANS",
        "MASTERTAPE_PORT",
        "MASTERTAPE_SECRET_KEYS",
    ]


def test_app_password_login_is_off_for_the_public(monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch, BASE_URL="https://a.example", SECRET_KEYS=f"{KEY},{KEY}", OAUTH_KEYS=PRIVATE_KEY)
    settings = load()
    assert not settings.app_password_login
    assert len(settings.secret_keys) == 2


def test_secrets_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    given(
        monkeypatch,
        SECRET_KEYS="hush" * 8,
        OAUTH_KEYS=PRIVATE_KEY,
        DATABASE_URL="postgresql://a:hush@h/n",
    )
    assert "hush" not in repr(load())
    assert json.loads(PRIVATE_KEY)[0]["d"] not in repr(load())


def test_secrets_are_read_from_files_after_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    containers, units = tmp_path / "secrets", tmp_path / "credentials"
    for folder in (containers, units):
        folder.mkdir()
        (folder / "of_others").write_text("x")
    monkeypatch.setattr(settings_module, "SECRETS_FOLDER", containers)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(units))
    (containers / "MASTERTAPE_SECRET_KEYS").write_text(f"{KEY},{KEY}\n")
    (containers / "MASTERTAPE_PORT").write_text("9\n")
    (units / "MASTERTAPE_OAUTH_KEYS").write_text(PRIVATE_KEY)
    given(monkeypatch, BASE_URL="https://a.example", PORT="8001")
    settings = load()
    assert (len(settings.secret_keys), settings.port, len(oauth_keys(settings))) == (2, 8001, 1)
    (units / "MASTERTAPE_OAUTH_KEY").touch()
    with pytest.raises(SettingsError, match="MASTERTAPE_OAUTH_KEY is not a setting"):
        load()


def test_settings_do_not_change() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Settings().port = 1  # type: ignore[misc]


def test_keys_are_made_once_and_only_for_their_owner(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path / "new")
    with ThreadPoolExecutor(8) as threads:
        made = list(threads.map(secret_keys, [settings] * 8))
    assert all(keys == made[0] for keys in made)
    path = tmp_path / "new" / "secret_keys"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(path.parent.iterdir()) == [path]
    assert secret_keys(settings) == made[0]


def test_given_keys_make_no_file(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path, secret_keys=(SecretStr(KEY),))
    assert secret_keys(settings) == [KEY]
    assert not list(tmp_path.iterdir())


def test_the_oauth_client_has_keys_only_over_https(tmp_path: Path) -> None:
    over_http = Settings(data=tmp_path)
    assert oauth_keys(over_http) == ()
    assert not list(tmp_path.iterdir())
    on_loopback = Settings(data=tmp_path, base_url="https://localhost")
    (made,) = oauth_keys(on_loopback)
    assert oauth_keys(on_loopback)[0].public_jwk() == made.public_jwk()
    assert stat.S_IMODE((tmp_path / "oauth_keys").stat().st_mode) == 0o600


def test_the_given_keys_sign_in_their_order(tmp_path: Path) -> None:
    pair = json.loads(new_oauth_keys()) + json.loads(new_oauth_keys())
    settings = Settings(
        data=tmp_path,
        base_url="https://a.example",
        secret_keys=(SecretStr(KEY),),
        oauth_keys=SecretStr(json.dumps(pair)),
    )
    assert [key.kid for key in oauth_keys(settings)] == [key["kid"] for key in pair]


def test_the_command_line_makes_a_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = CliRunner().invoke(main, ["oauth-key"])
    assert made.exit_code == 0
    given(
        monkeypatch, DATA=str(tmp_path), BASE_URL="https://a.example", SECRET_KEYS=KEY, OAUTH_KEYS=made.stdout
    )
    assert len(oauth_keys(load())) == 1


def test_documentation_is_up_to_date() -> None:
    assert Path("docs/settings.md").read_text() == page(), (
        "python -m tests.service.pages.settings > docs/settings.md"
    )
