"""A request of the largest size that the limits allow costs little CPU, whatever it holds, and is never our fault.

Routes, their parameters, and the headers and form fields that `src` reads are found, not listed.
"""

import ast
import asyncio
import json
import time
from urllib.parse import quote, unquote, urlencode

import pytest
from fastapi.dependencies.utils import get_flat_params
from fastapi.routing import APIRoute

from api.middleware.http_layer import FIELDS_BYTES, HEADERS_BYTES, URL_BYTES
from eventstore.untrusted import MAX_VALUES
from identity.accounts.credentials import Scope
from tests.api.world import ids_of, upload_with_all
from tests.media_samples import samples
from tests.patterns import SRC
from tests.servers.databases import ON_SQLITE
from web.ask import MAX_FORM_BYTES, PageRoute

MAX_SECONDS = 0.3
NOT_OFFERED = 501
ATTEMPTS = 3
CHUNK_BYTES = 64 * 1024
DIGITS = "9" * 5000
"""More than `int` reads: Python raises ValueError beyond 4,300."""
JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data; boundary=b"
PART = b'--b\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n'
END = b"--b--\r\n"
ROOM = 1024

pytestmark = ON_SQLITE


async def ask(app, method, target, headers=(), content=b""):
    """Ask without a client whose own CPU time would count. Return the status, the body and the CPU time of the process."""
    path, _, query = target.partition("?")
    chunks = [content[at : at + CHUNK_BYTES] for at in range(0, len(content), CHUNK_BYTES)] or [b""]
    answer = []

    async def receive():
        if not chunks:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": chunks.pop(0), "more_body": bool(chunks)}

    async def send(message):
        answer.append(message)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": unquote(path),
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(name.encode(), value.encode("latin-1", "replace")) for name, value in headers],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 8000),
        "state": {},
    }
    began = time.process_time()
    await app(scope, receive, send)
    cost = time.process_time() - began
    return answer[0]["status"], b"".join(each.get("body", b"") for each in answer[1:]), cost


@pytest.fixture
def track(client, admin):
    return upload_with_all(client, admin, image=samples.png())


@pytest.fixture
def cheaply(world, admin):
    """Asks as an admin until the answer has cost little enough, a few times at most; no answer may be our fault."""

    def asked(method, target, headers, content=b"", person=admin):
        for _ in range(ATTEMPTS):
            signed = ("authorization", f"Bearer {person.token}")
            status, body, cost = runner.run(ask(world.app, method, target, [signed, *headers], content))
            assert status < 500 or status == NOT_OFFERED, body
            if cost < MAX_SECONDS:
                return status, json.loads(body) if body.startswith(b"{") else None
        raise AssertionError(f"{cost:.2f} s of CPU")

    with asyncio.Runner() as runner:
        yield asked


def routes(world, *methods):
    found = [each for each in world.app.routes if isinstance(each, APIRoute)]
    return [each for each in found if each.methods & set(methods or each.methods)]


def target_of(route, track, **values):
    """The path of a route: of the track, where it names one; what else it names is not there."""
    known = {**ids_of(track), "cid": track["file_id"], "extension": track["file_type"]}
    names = {name: quote(str({**known, **values}.get(name, "1")), safe="") for name in route.param_convertors}
    return route.path_format.format(**names)


def fields_of(route):
    contents = (route.openapi_extra or {}).get("requestBody", {}).get("content", {})
    schemas = [each["schema"] for each in contents.values()]
    return list(dict.fromkeys(name for each in schemas for name in each.get("properties", ())))


def parameters_of(route):
    return [
        each.alias for each in get_flat_params(route.dependant) if each.alias not in route.param_convertors
    ]


def code_of(body):
    return body.get("error") or body["detail"]["error"]


def read_in(getter):
    """The names that the packages with HTTP read by this: `headers.get("range")`, `form["id"]`."""
    files = [file for package in ("api", "web") for file in (SRC / package).rglob("*.py")]
    return sorted(
        {
            str(constant.value).lower()
            for file in files
            for node in ast.walk(ast.parse(file.read_text()))
            for constant in _asked_of(node, getter)
            if isinstance(constant, ast.Constant) and isinstance(constant.value, str)
        }
    )


def _asked_of(node, getter):
    match node:
        case ast.Call(ast.Attribute(value), [constant, *_]) | ast.Subscript(value, constant, ast.Load()):
            return [constant] if getattr(value, "attr", getattr(value, "id", None)) == getter else []
    return []


SIZE = FIELDS_BYTES - ROOM
ITEMS = "[" + "{}," * (MAX_VALUES // 2 - 10) + "{}]"


def values_of(field):
    """Bodies with this field, as large and as laborious to check as the limits allow."""
    yield "digits", JSON, f'{{"{field}": [{",".join(["9" * 50] * (SIZE // 51))}]}}'.encode()
    yield "text", JSON, f'{{"{field}": "{"é" * (SIZE // 2)}"}}'.encode()
    yield "escapes", FORM, f"{field}={'%41' * MAX_VALUES}{'+' * (SIZE - 3 * MAX_VALUES)}".encode()
    yield "items", MULTIPART, PART % (field.encode(), ITEMS.encode()) + END


def bodies(field):
    """Bodies that are as laborious to read, and refused by what reads those of all routes."""
    text = "\\u00e9" * ((SIZE - len(ITEMS)) // 12)
    yield "values", JSON, f'{{"{field}": {ITEMS}, "x": "{text}"}}'.encode()
    yield "depth", JSON, f'{{"{field}": {"[" * (MAX_VALUES - 10)}'.encode()
    yield "pairs", FORM, b"&" * SIZE
    yield "boundaries", MULTIPART, PART % (field.encode(), b"\r\n--" * (SIZE // 4)) + END
    yield "parts", MULTIPART, (PART % (field.encode(), b"")) * (SIZE // 60) + END
    yield "options", MULTIPART, PART % (b'"; ;' * 1000, b"") + END


def test_no_route_leaves_its_body_to_the_framework(world):
    assert [each.path for each in routes(world) if each.body_field is not None] == []


def test_a_body_of_the_largest_size_costs_little(subtests, world, cheaply, track):
    taking = [each for each in routes(world) if fields_of(each)]
    assert len(taking) > 20
    for at, route in enumerate(taking):
        method, field = next(iter(route.methods)), fields_of(route)[-1]
        for name, kind, content in (*values_of(field), *(bodies(field) if at % 8 == 0 else ())):
            with subtests.test(f"{method} {route.path} {name}"):
                target = target_of(route, track)
                cheaply(method, target, [("content-type", kind)], content)


def test_json_of_too_many_values_is_too_complex_on_every_route(subtests, world, cheaply, track):
    taking = [each for each in routes(world) if fields_of(each)]
    for route in taking:
        method = next(iter(route.methods))
        wanted = f'{{"{fields_of(route)[0]}": [{"{}," * MAX_VALUES}'
        form = f"{fields_of(route)[0]}={'%41' * (MAX_VALUES + 1)}"
        for kind, content in ((JSON, wanted), (FORM, form)):
            with subtests.test(f"{method} {route.path} {kind}"):
                headers = [("content-type", kind)]
                status, body = cheaply(
                    method,
                    target_of(route, track),
                    headers,
                    content.encode(),
                )
                assert (status, code_of(body)) == (413, "too_complex")


@pytest.mark.parametrize("path", ["/tracks/{}", "/plyr/tracks/{}"])
def test_json_in_a_field_of_a_form_is_counted_too(cheaply, track, path):
    content = PART % (b"tags", b"[" + b'"",' * MAX_VALUES) + END
    headers = [("content-type", MULTIPART)]
    status, body = cheaply("PATCH", path.format(track["id"]), headers, content)
    assert (status, code_of(body)) == (413, "too_complex")


def test_a_form_of_a_page_costs_little_and_may_hold_any_number(subtests, world, cheaply, track):
    names = read_in("form")
    assert {"id", "key"} <= set(names)
    numbers = [
        urlencode(dict.fromkeys(names, DIGITS)),
        urlencode({**dict.fromkeys(names, DIGITS), "id": track["id"]}),
    ]
    largest = [
        "%" * MAX_FORM_BYTES,
        "&" * MAX_FORM_BYTES,
        urlencode([(name, "9" * (MAX_FORM_BYTES // len(names) - 99)) for name in names]),
    ]
    pages = [each for each in routes(world, "POST") if isinstance(each, PageRoute)]
    for at, route in enumerate(pages):
        for content in (*numbers, *(largest if at % 8 == 0 else ())):  # all are read by `web.ask`
            with subtests.test(f"{route.path} {content[:20]}"):
                cheaply(
                    "POST",
                    target_of(route, track),
                    [("content-type", FORM), ("accept", "text/html")],
                    content.encode(),
                    world.sign_in("admin", scope=Scope.ADMIN),  # a form of another route has signed out
                )


def test_a_number_of_any_length_is_never_our_fault(subtests, world, cheaply, track):
    for route in routes(world):
        method = next(iter(route.methods))
        accept = [("accept", "text/html" if isinstance(route, PageRoute) else JSON)]
        in_path = [target_of(route, track, **{name: DIGITS}) for name in route.param_convertors]
        in_query = [f"{target_of(route, track)}?{name}={DIGITS}" for name in parameters_of(route)]
        for target in in_path + in_query:
            with subtests.test(f"{method} {target[:60]}"):
                cheaply(method, target, accept, b"")
        for field in fields_of(route):
            for kind, content in ((JSON, f'{{"{field}": {DIGITS}}}'), (FORM, f"{field}={DIGITS}")):
                with subtests.test(f"{method} {route.path} {field} {kind}"):
                    headers = [*accept, ("content-type", kind)]
                    cheaply(method, target_of(route, track), headers, content.encode())


def test_headers_of_the_largest_size_cost_little(subtests, cheaply, track):
    others = {"content-length", "cookie", "host", "x-forwarded-for", "access-control-request-headers"}
    names = {*read_in("headers"), *others}
    assert {"range", "if-match", "accept"} <= names
    asked = [
        ("GET", f"/audio/{track['file_id']}.{track['file_type']}", "text/html"),
        ("PATCH", f"/tracks/{track['id']}", JSON),
    ]
    begins = {
        "range": "bytes=",
        "if-match": '"',
        "authorization": "Bearer ",
        "cookie": 'mastertape_session="',
    }
    for name in sorted(names):
        for filler in (" ", "a", ",", ";", "=", "/", "é", '\\"', "%41", "a=b;", '"1",'):
            for method, target, accept in asked:
                value = (begins.get(name, "") + filler * HEADERS_BYTES)[: HEADERS_BYTES - ROOM] + '!"'
                with subtests.test(f"{method} {name} {filler!r}"):
                    headers = [("accept", accept), (name, value)]
                    cheaply(method, target, headers, b"")
    many = [("x", "")] * (HEADERS_BYTES - ROOM)
    for method, target, accept in asked:
        cheaply(method, target, [*many, ("accept", accept)], b"")


def test_a_query_of_the_largest_size_costs_little(subtests, world, cheaply, track):
    for route in routes(world, "GET"):
        accept = [("accept", "text/html" if isinstance(route, PageRoute) else JSON)]
        size = URL_BYTES - ROOM
        for name in parameters_of(route):
            for value in ("%cc%81%cc%a3" * (size // 12), f"1&{name}=" * (size // (len(name) + 3))):
                with subtests.test(f"{route.path} {name} {value[:12]}"):
                    target = f"{target_of(route, track)}?{name}={value}"
                    cheaply("GET", target, accept, b"")
