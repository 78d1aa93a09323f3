"""DNS lookups without threads: a slow name server must not occupy the threads that database work needs."""

from typing import Final, Protocol

import dns.asyncresolver
import dns.exception
import dns.resolver
import httpx

DNS_TIMEOUT_SECONDS: Final = 3.0


class HostNotFoundError(httpx.ConnectError):
    """DNS does not know this host name."""


class NameUnavailableError(httpx.ConnectError):
    """DNS did not answer."""


class Names(Protocol):
    """The DNS lookups that resolution needs."""

    async def addresses(self, host: str) -> list[str]:
        """Return the IP addresses of a host; raises HostNotFoundError or NameUnavailableError."""
        ...

    async def texts(self, name: str) -> list[str]:
        """Return the TXT records of a name; none if there is no such name."""
        ...


class Dns:
    """Asks the system's name servers. The hosts file is not read: it contains no public host."""

    async def addresses(self, host: str) -> list[str]:
        """Return the IPv4 and IPv6 addresses of a host."""
        try:
            answers = await dns.asyncresolver.resolve_name(f"{host}.", lifetime=DNS_TIMEOUT_SECONDS)
            found = list(answers.addresses())
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            found = []
        except dns.exception.DNSException as error:
            raise NameUnavailableError(f"DNS did not answer for {host}: {type(error).__name__}") from None
        if not found:
            raise HostNotFoundError(f"DNS does not know {host}")
        return found

    async def texts(self, name: str) -> list[str]:
        """Return the TXT records of a name, the strings of each joined."""
        try:
            answers = await dns.asyncresolver.resolve(f"{name}.", "TXT", lifetime=DNS_TIMEOUT_SECONDS)
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            return []
        except dns.exception.DNSException as error:
            raise NameUnavailableError(f"DNS did not answer for {name}: {type(error).__name__}") from None
        return [b"".join(record.strings).decode("utf-8", "replace") for record in answers]
