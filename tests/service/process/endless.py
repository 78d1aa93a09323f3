"""Every part of a request that a client may send without an end: what comes before it, and what it sends again and again."""

GET = b"GET /healthz HTTP/1.1\r\nHost: x\r\n"
CHUNKED = GET + b"Transfer-Encoding: chunked\r\n\r\n"
POSTED = (
    b"POST /auth/app-password HTTP/1.1\r\nHost: x\r\n"
    b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
)
ENDLESS = {
    "empty lines before a request": (b"", b"\r\n"),
    "a method": (b"", b"G"),
    "spaces after the method": (b"GET", b" "),
    "an address": (b"GET /", b"x"),
    "a query": (b"GET /?", b"x=y;&"),
    "a version": (b"GET / HTTP/1.1", b"1"),
    "a header's name": (GET, b"x"),
    "a header's value": (GET + b"x: ", b"x"),
    "spaces before a header's value": (GET + b"x:", b" "),
    "headers": (GET, b"x: y\r\n"),
    "a second head": (GET + b"\r\nGET /", b"x"),
    "a chunk's size": (CHUNKED, b"0"),
    "zeros before the sizes of chunks": (POSTED, b"0" * 10_000 + b"1\r\nx\r\n"),
    "chunks of a byte": (POSTED, b"1\r\nx\r\n"),
    "a body after its response": (GET + b"Content-Length: 99999999999\r\n\r\n", b"x"),
    "chunks after their response": (CHUNKED, b"400\r\n" + b"x" * 0x400 + b"\r\n"),
    "a chunk's extension": (CHUNKED + b"1;", b"x"),
    "the extensions of a chunk": (CHUNKED + b"1", b";x=y"),
    "a trailer's name": (CHUNKED + b"0\r\n", b"x"),
    "a trailer's value": (CHUNKED + b"0\r\nx: ", b"x"),
    "trailers": (CHUNKED + b"0\r\n", b"x: y\r\n"),
    "bytes after the body": (GET + b"Content-Length: 1\r\n\r\n", b"x"),
    "bytes after the last request": (GET + b"Connection: close\r\n\r\n", b"x"),
    "bytes after an upgrade": (GET + b"Connection: upgrade\r\nUpgrade: websocket\r\n\r\n", b"x"),
    "pipelined requests": (b"", GET + b"\r\n"),
    "pipelined requests with bodies": (b"", GET + b"Content-Length: 8\r\n\r\n;;;;;;;;"),
}
