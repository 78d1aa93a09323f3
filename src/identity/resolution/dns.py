"""DNS, asked without a thread: a slow name server must not use up the threads that the database works on."""

from typing import Final, Protocol

import dns.asyncresolver
import dns.exception
import dns.resolver
import httpx

LIFETIME: Final = 3.0


class HostNotFoundError(httpx.ConnectError):
    """DNS does not know this host name."""


class NameUnavailableError(httpx.ConnectError):
    """DNS did not answer."""


class Names(Protocol):
    """What is asked of DNS."""

    async def addresses(self, host: str) -> list[str]:
        """The IP addresses of a host."""
        ...

    async def texts(self, name: str) -> list[str]:
        """The TXT records of a name; none when there is no such name."""
        ...


class Dns:
    """The system's name servers. The hosts file is not read: it holds no public host."""

    async def addresses(self, host: str) -> list[str]:
        """The IPv4 and IPv6 addresses of a host."""
        try:
            answers = await dns.asyncresolver.resolve_name(f"{host}.", lifetime=LIFETIME)
            found = list(answers.addresses())
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            found = []
        except dns.exception.DNSException as error:
            raise NameUnavailableError(f"DNS did not answer for {host}: {type(error).__name__}") from None
        if not found:
            raise HostNotFoundError(f"DNS does not know {host}")
        return found

    async def texts(self, name: str) -> list[str]:
        """The TXT records of a name, each in one piece."""
        try:
            answers = await dns.asyncresolver.resolve(f"{name}.", "TXT", lifetime=LIFETIME)
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            return []
        except dns.exception.DNSException as error:
            raise NameUnavailableError(f"DNS did not answer for {name}: {type(error).__name__}") from None
        return [b"".join(record.strings).decode("utf-8", "replace") for record in answers]
