"""The real servers are fixtures of every test: see tests/servers/."""

pytest_plugins = [
    "tests.servers.databases",
    "tests.servers.atproto",
    "tests.servers.browser",
    "tests.servers.proxied",
    "tests.servers.s3",
]
