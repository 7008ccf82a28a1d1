"""What nobody means to send: bodies, queries, names and headers that are wrong in some way."""

import json

LEVELS = (5, 20, 60, 100, 150, 200, 254, 255, 256, 300, 400, 450, 500, 600)
"""How deep things are nested: from what anybody may send to what no parser of ours takes."""


def nested(levels: int, kind: str) -> str:
    """Write JSON of so many levels, each a list, an object, or both in turn."""
    openings = {"list": ["["], "object": ['{"a":'], "both": ["[", '{"a":']}[kind]
    closings = {"list": ["]"], "object": ["}"], "both": ["]", "}"]}[kind]
    size = len(openings)
    opened = "".join(openings[n % size] for n in range(levels))
    return opened + "1" + "".join(closings[n % size] for n in reversed(range(levels)))


def twice(text: str, times: int = 1) -> bytes:
    """Write JSON as a text in JSON, once or more often."""
    for _ in range(times):
        text = json.dumps(text)
    return text.encode()


KINDS = ("list", "object", "both")
TASKS = ("text.reverse", "primes.count", "email.send", "no.such", "../x", "x" * 300)
TYPES = (
    "application/json", "application/x-ndjson", "text/plain", "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x", "multipart/form-data", "application/json; charset=utf-16",
    "application/json; charset=no-such", "", "\x7f", "application/xml",
)  # fmt: skip
BODIES: tuple[bytes, ...] = (
    b"", b"{", b"[]", b"null", b"0", b'"x"', b"{}" * 50, b"\xff\xfe\x00", b"\x00" * 64,
    b"[" * 20_000, b'{"a":' * 5_000, b'{"args": NaN}', b'{"args": 1e999}', b"9" * 5_000,
    b'{"args": {"text": "\\ud800"}}', b'{"args": {"text": "\\u0000"}}', b'{"args": {"text": 1}}',
    b'{"args": {}, "args": {"text": "x"}}', b'{"__proto__": {"a": 1}}', b'{"args": {"": ""}}',
    b'{"options": {"eta": "9999-12-31T23:59:59+99:99"}}', b'{"options": {"countdown": -1}}',
    b'{"options": {"queue": "\\u0000"}, "args": {"text": "x"}}', b'{"options": {"tags": [[]]}}',
    b'{"options": {"priority": 99999999999999999999999}}', b'{"ids": ["\\u0000"]}', b'{"all": 1}',
    b'{"ids": [' + b'"x",' * 9_000 + b'"x"]}', b'{"rate": 1e-320, "all": true}', b'{"filter": 7}',
    b'{"group": "\\ud800"}', b"--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1",
    b'{"options": {"queue": null}, "args": {"text": "x"}}',
    *(twice(text, times) for times in (1, 2) for text in (
        "{}", "null", "x", '{"args": {"text": "x"}}', '{"args": {"text": NaN}}', '{"all": true}',
        '{"options": {"queue": "x"}}', '{"ids": ["x"]}', '{"filter": {}, "all": true}',
    )),
    *(nested(levels, kind).encode() for levels in LEVELS for kind in KINDS),
    *(f'{{"{name}": {nested(levels, kind)}}}'.encode() for levels in LEVELS for kind in KINDS
      for name in ("args", "options", "ids", "filter", "all", "foreign", "group", "label")),
    b"a=%", b"a=%ff&csrf_token=%00", b"&".join(b"a%d=1" % n for n in range(1_200)),
)  # fmt: skip
QUERIES = (
    "", "limit=-1", "limit=1e9", "limit=%00", "cursor=%ff", "cursor=" + "A" * 5_000, "state=x",
    "state=DEAD&state=dead", "q=%00", "q=" + "%25" * 500, "since=x", "since=9999-99-99",
    "since=-1d", "until=99999999999999999999", "tag=%F0%9F%A5%95", "queue=%ud800", "a=1&a=1",
    "&&&", "=x", "%",
    "span=x", "n=0x10", "foreign=maybe", "most=-1", "by=NaN", "page=99999999999999999999",
)  # fmt: skip
WORDS = (
    "x", "%00", "%ff", "%F0%9F%A5%95", "..%2f..%2fetc%2fpasswd", "%2e%2e", "x" * 3_000, "-1", "a b",
    "'", "%0d%0aSet-Cookie:a=b", "01936d4c-7b7e-7cc0-9a3f-0123456789ab", "%25s%25n", "*", "[",
)  # fmt: skip
HEADERS: tuple[dict[str, str], ...] = (
    {}, {"Prefer": "wait=-1"}, {"Prefer": "wait=99999999999999999999"}, {"Prefer": "=;,=="},
    {"Idempotency-Key": '"'}, {"Idempotency-Key": "x" * 5_000}, {"Accept": "*/*;q=x"},
    {"Last-Event-ID": "x"}, {"Range": "bytes=5-1"}, {"If-None-Match": '"' * 50},
    {"Cookie": "=;=;a"}, {"Accept-Language": "x" * 3_000}, {"Content-Encoding": "gzip"},
    {"traceparent": "00-x"},
    {"X-Request-Id": "<b>"}, {"Accept-Encoding": "\xff"}, {"If-Modified-Since": "never"},
)  # fmt: skip
