"""nginx, as docs/how-to/reverse-proxy.md has it, before a web that people sign in to."""

import http.client
import re
import shutil
import ssl
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

import pytest

from access_app import PASSWORD, ROOT
from celeriac.access import Access, AuditFilter, Role, TokenOrder
from eventually import eventually
from mail_server import self_signed
from processes import LOOPBACK, ChildProcess, free_port, is_listening, tail
from servers import RedisServer, clean_environment, missing
from web_process import running_web

HOW_TO = Path(__file__).parents[2] / "docs" / "how-to" / "reverse-proxy.md"
NAME = "celeriac.example.org"
CLIENT = "127.0.0.2"
"""Another address of this machine, so that nginx and its client have two."""
SPOOFED = {"X-Forwarded-For": "6.6.6.6", "X-Forwarded-Host": "evil.example"}


@dataclass(frozen=True)
class Site:
    """Celeriac behind nginx, and a token to it."""

    port: int
    token: str
    access: Access

    def connect(self) -> closing[http.client.HTTPSConnection]:
        """Connect to nginx from an address of one's own."""
        context = ssl._create_unverified_context()  # noqa: S323 - nobody else is there
        return closing(
            http.client.HTTPSConnection(
                LOOPBACK, self.port, timeout=30, context=context, source_address=(CLIENT, 0)
            )
        )

    @property
    def headers(self) -> dict[str, str]:
        """Give what a program sends, and what it should not."""
        return {"Host": NAME, "Authorization": f"Bearer {self.token}", **SPOOFED}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, valkey_server: RedisServer) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("proxied")
    history = f"sqlite:///{folder}/history.db"
    access = Access(history)
    access.prepare()
    access.users.add(ROOT, "ada", Role.ADMIN)
    access.users.set_password(ROOT, "ada", PASSWORD)
    _, token = access.tokens.create(ROOT, access.users.get("ada"), TokenOrder("test", Role.ADMIN))
    settings = {
        "CELERIAC_AUTHENTICATION": "on",
        "CELERIAC_HISTORY_URL": history,
        "CELERIAC_PUBLIC_URL": f"https://{NAME}",
        "CELERIAC_TRUSTED_HOSTS": NAME,
        "CELERIAC_TRUSTED_PROXIES": "1",
    }
    url = valkey_server.url
    with running_web(folder, url, url, settings) as web, _nginx(folder, web.port) as port:
        yield Site(port, token, access)
    access.close()


@contextmanager
def _nginx(folder: Path, web_port: int) -> Iterator[int]:
    program = shutil.which("nginx", path="/usr/sbin:/usr/local/bin:/opt/homebrew/bin:/usr/bin")
    if program is None:
        missing("nginx", "nginx-light")
    port = free_port()
    (folder / "nginx.conf").write_text(_configuration(folder, port, web_port))
    process = ChildProcess(
        command=[program, "-p", folder, "-c", "nginx.conf", "-e", "stderr"],
        log_path=folder / "nginx.log",
        env=clean_environment(folder),
        cwd=folder,
    )
    process.start()
    try:
        eventually(lambda: not process.is_running or is_listening(port), deadline_s=30)
        assert process.is_running, tail(process.log_path)
        yield port
    finally:
        process.kill()


def _configuration(folder: Path, port: int, web_port: int) -> str:
    """Give the server of the how-to, with the test's own ports, files and folders."""
    made = self_signed(folder)
    (server,) = re.findall(r"```nginx\n(.*?)```", HOW_TO.read_text(encoding="utf-8"), re.DOTALL)
    for known, ours in (
        ("listen 443 ssl", f"listen {LOOPBACK}:{port} ssl"),
        ("http://127.0.0.1:5000", f"http://{LOOPBACK}:{web_port}"),
        ("/etc/ssl/celeriac.pem", str(made.path)),
        ("/etc/ssl/celeriac.key", str(made.key_path)),
    ):
        assert known in server, known
        server = server.replace(known, ours)
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    folders = "".join(f"{kind}_temp_path {folder}/{kind};\n" for kind in kinds)
    return (
        "daemon off;\nmaster_process off;\npid nginx.pid;\nevents {}\n"
        f"http {{\naccess_log off;\n{folders}{server}}}\n"
    )


def test_program_is_let_in_and_the_headers_it_makes_up_are_not_believed(site: Site) -> None:
    with site.connect() as connection:
        connection.request("POST", "/api/v1/queues/none/pause", headers=site.headers)
        answer = connection.getresponse()
        answer.read()

    assert answer.status == 404, "the host was known, and there is no such queue"
    (entry,) = eventually(lambda: site.access.audit.find(AuditFilter(action="queue.pause")).entries)
    assert entry.address == CLIENT


def test_stream_comes_through_as_it_is_made(site: Site) -> None:
    with site.connect() as connection:
        connection.request("GET", "/api/v1/events", headers=site.headers)
        answer = connection.getresponse()
        lines = [answer.readline() for _ in range(3)]

    assert lines == [b"retry: 2000\n", b"\n", b": still here\n"]


def test_person_signs_in_over_tls(site: Site) -> None:
    with site.connect() as connection:
        connection.request("GET", "/sign-in", headers={"Host": NAME, "Accept": "text/html"})
        page = connection.getresponse()
        found = re.search(r'name="csrf_token" value="([^"]+)"', page.read().decode())
        assert found
        form_cookie = (page.headers["Set-Cookie"] or "").partition(";")[0]
        origin = f"https://{NAME}"
        connection.request(
            "POST",
            "/sign-in",
            urlencode({"name": "ada", "password": PASSWORD, "csrf_token": found[1]}),
            {
                "Host": NAME,
                "Origin": origin,
                "Referer": f"{origin}/sign-in",
                "Cookie": form_cookie,
                "Content-Type": "application/x-www-form-urlencoded",
            },
        )
        answer = connection.getresponse()

    assert (answer.status, answer.headers["Location"]) == (303, "/")
    cookies = answer.headers.get_all("Set-Cookie")
    assert any(each.startswith("__Host-celeriac-session=") for each in cookies)
    assert all(each.startswith("__Host-") and "Secure" in each for each in cookies)
    assert site.access.sessions.of_user(site.access.users.get("ada").id)[0].address == CLIENT
