"""Signing in with a browser, and what each role sees, may do, and is refused."""

import re
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from access_app import PASSWORD, ROOT
from axe import grave_violations
from celeriac.access import Access, Entry, Role, TokenOrder
from eventually import eventually
from oidc_provider import introduce, running_provider
from processes import ChildProcess
from running_stack import RunningStack, running_stack
from screenshots import shot
from servers import clean_environment

WORK = "Sign in with Work"
SETUP = re.compile(r"Become the first administrator, once: (http://\S+)")


@pytest.fixture(scope="module")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run an OpenID provider that knows oda, who has a role here, and nora, who has none."""
    with running_provider(tmp_path_factory.mktemp("provider")) as found:
        introduce(found, "4711", preferred_username="oda", groups=["ops"])
        introduce(found, "4712", preferred_username="nora", groups=["sales"])
        yield found


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, issuer: str) -> Iterator[RunningStack]:
    """Run `celeriac up` where everybody has to sign in; its first administrator is ada."""
    folder = tmp_path_factory.mktemp("signed-in")
    environment = {
        "CELERIAC_AUTHENTICATION": "on",
        "CELERIAC_OIDC_ISSUER": issuer,
        "CELERIAC_OIDC_CLIENT_ID": "celeriac",
        "CELERIAC_OIDC_CLIENT_SECRET": "secret",
        "CELERIAC_OIDC_ROLES": "ops=operator",
        "CELERIAC_OIDC_LABEL": WORK,
    }
    with running_stack(folder, environment=environment) as running:
        yield running


@pytest.fixture(scope="module")
def access(stack: RunningStack) -> Iterator[Access]:
    """Open the users of the stack, with a viewer and an operator."""
    access = Access(f"sqlite:///{stack.data_dir}/history.db")
    for name, role in (("vera", Role.VIEWER), ("otto", Role.OPERATOR), ("anna", Role.ADMIN)):
        access.users.add(ROOT, name, role)
        access.users.set_password(ROOT, name, PASSWORD)
    yield access
    access.close()


def _sign_in(page: Page, stack: RunningStack, name: str, then: str = "/") -> None:
    page.goto(stack.url + then)
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.wait_for_url(stack.url + then)


def _status(stack: RunningStack, path: str, token: str, method: str = "GET") -> int:
    request = urllib.request.Request(stack.url + path, method=method)
    request.add_header("Authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def test_first_administrator_comes_by_the_printed_link(page: Page, stack: RunningStack) -> None:
    found = SETUP.search(stack.log)
    assert found, stack.log
    page.goto(found[1])
    page.get_by_label("Name").fill("ada")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_label("The same again").fill(PASSWORD)
    shot(page, "access/welcome")
    page.get_by_role("button", name="Keep it and sign in").click()
    page.wait_for_url(f"{stack.url}/")

    page.get_by_role("link", name="ada").click()
    page.get_by_role("button", name="Sign out", exact=True).click()
    page.wait_for_url("**/sign-in")


def test_own_page_needs_no_scrolling_sideways_on_a_phone(
    phone: Page, stack: RunningStack, access: Access
) -> None:
    otto = access.users.get("otto")
    access.tokens.create(ROOT, otto, TokenOrder("every report of the night", Role.OPERATOR))
    detail = {"filter": {"task": ["reports.some.long.name"]}, "all": False}
    address = "2001:db8:1234:5678:9abc:def0:1234:5678"
    done = Entry("otto", "token", "runs.resubmit", "", address, "0123456789ab", detail=detail)
    access.audit.record([done])
    _sign_in(phone, stack, "otto", "/account")

    widths = "all => all.map(each => [each.scrollWidth, each.clientWidth])"
    tables = phone.locator(".listing-scroll").evaluate_all(widths)

    expect(phone.locator("#audit")).to_contain_text("reports.some.long.name")
    assert len(tables) == 3
    assert all(needed <= there for needed, there in tables), tables
    assert phone.evaluate("document.documentElement.scrollWidth") <= 360
    assert not grave_violations(phone)
    shot(phone, "access/account-phone")


@pytest.mark.allow_console_error("401")
def test_wrong_password_leads_nowhere_and_the_right_one_back(
    page: Page, stack: RunningStack, access: Access
) -> None:
    page.goto(f"{stack.url}/queues")
    page.get_by_label("Name").fill("vera")
    page.get_by_label("Password").fill("wrong")
    page.get_by_role("button", name="Sign in", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("Name or password is wrong.")
    shot(page, "access/sign-in-refused")

    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()

    page.wait_for_url(f"{stack.url}/queues")


@pytest.mark.allow_console_error("403")
def test_viewer_sees_everything_and_is_offered_nothing(
    page: Page, stack: RunningStack, access: Access
) -> None:
    _sign_in(page, stack, "vera", "/tasks/text.reverse")
    expect(page.get_by_text("You are viewer, so you cannot run it.")).to_be_visible()
    for path in ("/", "/runs", "/queues", "/workers", "/tasks/text.reverse"):
        page.goto(stack.url + path)
        assert page.locator("main form[method=post]").count() == 0, path
    for name in ("Pause", "Purge", "Cancel all", "Shut this worker down"):
        assert page.get_by_text(name).count() == 0
    assert page.get_by_role("link", name="Admin").count() == 0

    page.goto(f"{stack.url}/admin/users")

    expect(page.get_by_role("heading", name="Not for you")).to_be_visible()
    shot(page, "access/forbidden")


def test_operator_runs_a_task_and_the_trail_tells(
    new_page: Any, stack: RunningStack, access: Access
) -> None:
    page = new_page()
    _sign_in(page, stack, "otto", "/tasks/text.reverse")
    page.locator('[name="args.text"]').fill("hello")
    page.get_by_role("button", name="Run", exact=True).click()
    page.locator('#run-head[data-state="SUCCESS"]').wait_for()
    run_id = page.url.rpartition("/")[2]
    _is_refused(page, stack)
    page.goto(f"{stack.url}/account")
    eventually(lambda: _told(page, "run.submit", "ok"), deadline_s=30)
    assert _told(page, "queue.purge", "forbidden") == 1
    assert page.locator("#trail").get_by_text("anna").count() == 0

    other = new_page()
    _sign_in(other, stack, "anna", "/admin/audit")
    told = other.locator("#audit tr").filter(has_text="run.submit")

    def is_told() -> bool:
        other.reload()
        return told.filter(has_text="otto").filter(has_text=run_id[-6:]).count() == 1

    eventually(is_told, deadline_s=20)
    shot(other, "access/audit")
    told.get_by_role("link", name=re.compile("…")).first.click()
    other.wait_for_url(f"**/runs/{run_id}")


def _is_refused(page: Page, stack: RunningStack) -> None:
    """Check that an operator is offered no button, no page and no call of an administrator's."""
    page.goto(f"{stack.url}/queues")
    assert page.get_by_role("button", name=re.compile("Pause")).count() >= 1
    assert page.get_by_text("Purge…").count() == 0
    answer = page.request.get(f"{stack.url}/admin/users", headers={"Accept": "text/html"})
    assert answer.status == 403 and "Not for you" in answer.text()
    address = f"{stack.url}/api/v1/queues/celery_see/purge"
    assert page.request.post(address, headers={"Origin": stack.url}).status == 403


def _told(page: Page, action: str, outcome: str) -> int:
    """Give how many entries of one's own trail tell this, as the page has it now."""
    page.reload()
    rows = page.locator("#trail tbody tr").filter(has_text=action)
    return rows.filter(has_text=outcome).count()


def test_person_signs_in_by_the_provider_and_is_told_where_they_come_from(
    new_page: Any, stack: RunningStack, access: Access, issuer: str
) -> None:
    page = new_page()
    page.goto(f"{stack.url}/queues")
    shot(page, "access/sign-in-provider")
    page.get_by_role("link", name=WORK).click()
    page.locator('input[name="sub"]').fill("4711")
    page.get_by_role("button", name="Authorize").click()
    page.wait_for_url(f"{stack.url}/queues")
    page.get_by_role("link", name="oda").click()
    expect(page.locator("#sessions").get_by_role("cell", name="oidc")).to_be_visible()
    assert page.get_by_text("Change the password").count() == 0
    _is_refused(page, stack)
    page.goto(f"{stack.url}/account")
    eventually(lambda: _told(page, "queue.purge", "forbidden"), deadline_s=30)
    assert _told(page, "user.add", "ok") == 1 and _told(page, "session.begin", "ok") == 1
    assert not grave_violations(page)
    shot(page, "access/own-trail")
    page.get_by_role("button", name="Sign out", exact=True).click()
    page.wait_for_url("**/sign-in")

    admin = new_page()
    _sign_in(admin, stack, "anna", "/admin/users")
    expect(admin.get_by_role("row", name=re.compile("^oda"))).to_contain_text(issuer)


@pytest.mark.allow_console_error("403")
def test_stranger_of_the_provider_is_refused_with_a_clear_page(
    page: Page, stack: RunningStack, access: Access
) -> None:
    page.goto(f"{stack.url}/sign-in")
    page.get_by_role("link", name=WORK).click()
    page.locator('input[name="sub"]').fill("4712")
    page.get_by_role("button", name="Authorize").click()
    expect(page.get_by_role("alert")).to_contain_text("none of your groups has a role here")
    assert not grave_violations(page)
    shot(page, "access/sign-in-no-role")

    page.get_by_role("link", name=WORK).click()
    page.get_by_role("button", name="Deny").click()

    expect(page.get_by_role("alert")).to_contain_text("says: access denied")


def test_administrator_adds_a_user_who_follows_the_link(
    new_page: Any, stack: RunningStack, access: Access
) -> None:
    page = new_page()
    _sign_in(page, stack, "anna", "/admin/users")
    page.get_by_label("Name").fill("newcomer")
    page.get_by_role("button", name="Add", exact=True).click()
    link = page.locator("#once-text").inner_text()
    shot(page, "access/users-link")

    theirs = new_page()
    theirs.goto(link)
    theirs.get_by_label("Password", exact=True).fill(PASSWORD)
    theirs.get_by_label("The same again").fill(PASSWORD)
    theirs.get_by_role("button", name="Keep it and sign in").click()
    theirs.wait_for_url(f"{stack.url}/")

    assert access.users.get("newcomer").has_password


def test_token_is_made_on_the_page_and_dies_when_it_is_revoked(
    page: Page, stack: RunningStack, access: Access
) -> None:
    _sign_in(page, stack, "otto", "/account")
    page.get_by_label("For what").fill("nightly import")
    page.get_by_label("Role").select_option("operator")
    page.get_by_role("button", name="Make a token").click()
    token = page.locator("#once-text").inner_text()
    shot(page, "access/account-token")
    assert _status(stack, "/api/v1/runs", token) == 200
    assert _status(stack, "/api/v1/queues/celery_see/purge", token, "POST") == 403

    page.get_by_role("button", name="Revoke nightly import").click()
    page.get_by_text("revoked").first.wait_for()

    assert _status(stack, "/api/v1/runs", token) == 401


@pytest.fixture
def terminal(stack: RunningStack, tmp_path: Path) -> Iterator[ChildProcess]:
    """Let somebody elsewhere type `celeriac login`, who has nothing but the web's address."""
    process = ChildProcess(
        command=[sys.executable, "-m", "celeriac", "login", stack.url],
        log_path=tmp_path / "login.log",
        env=clean_environment(tmp_path),
        cwd=tmp_path,
    )
    process.start()
    yield process
    if process.is_running:
        process.kill()


@pytest.mark.timeout(300)
def test_terminal_is_logged_in_from_the_browser_and_works_by_http(
    page: Page, stack: RunningStack, access: Access, terminal: ChildProcess, tmp_path: Path
) -> None:
    def printed() -> str:
        return terminal.log_path.read_text()

    address = eventually(lambda: re.search(r"http://\S+/login\S+", printed()), deadline_s=30)[0]
    _sign_in(page, stack, "otto", address.removeprefix(stack.url))
    assert page.locator("#login-code").inner_text() in printed()
    assert not grave_violations(page)
    shot(page, "access/login")
    page.get_by_role("button", name="The code is the same: log in").click()
    page.get_by_text("Go on in the terminal.").wait_for()
    eventually(lambda: not terminal.is_running, deadline_s=30)
    assert f"Logged in to {stack.url} as otto (operator) until" in printed()

    assert _typed(tmp_path, "submit", "text.reverse", "--text", "abc", "--wait") == "cba\n"
    submitted = _typed(tmp_path, "submit", "text.reverse", "--text", "x", "--countdown", "600")
    assert "SCHEDULED" in _typed(tmp_path, "run", "show", submitted.strip())
    assert "Asked the workers" in _typed(tmp_path, "run", "cancel", submitted.strip())
    eventually(
        lambda: submitted.strip() in _typed(tmp_path, "runs", "list", "--json"), deadline_s=30
    )
    assert "otto (operator) until" in _typed(tmp_path, "whoami")
    page.reload()
    page.get_by_role("button", name=re.compile("^Revoke celeriac login")).click()
    page.get_by_text("The token is revoked.").wait_for()

    refused = _typed(tmp_path, "run", "show", submitted.strip(), code=1)
    assert "was revoked" in refused and f"celeriac login {stack.url}" in refused


def _typed(folder: Path, *words: str, code: int = 0) -> str:
    """Give what a command prints that is started as the person of a folder."""
    done = subprocess.run(
        [sys.executable, "-m", "celeriac", *words],
        env=clean_environment(folder),
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == code, done.stderr
    return done.stdout or done.stderr


def test_stream_ends_soon_after_its_token_was_revoked(stack: RunningStack, access: Access) -> None:
    otto = access.users.get("otto")
    token, text = access.tokens.create(ROOT, otto, TokenOrder("stream", Role.VIEWER))
    request = urllib.request.Request(f"{stack.url}/api/v1/events")
    request.add_header("Authorization", f"Bearer {text}")

    with urllib.request.urlopen(request, timeout=60) as answer:
        assert answer.readline() == b"retry: 2000\n"
        access.tokens.revoke(ROOT, token.id)
        answer.read()  # Up to its end; if it went on, that would time out.
        assert answer.isclosed()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_are_accessible(
    new_page: Any, stack: RunningStack, access: Access, scheme: str
) -> None:
    page = new_page(color_scheme=scheme)
    page.goto(f"{stack.url}/sign-in")
    assert not grave_violations(page)
    shot(page, f"access/sign-in-{scheme}")
    _sign_in(page, stack, "anna", "/account")
    for path in ("/account", "/admin/users", "/admin/tokens", "/admin/audit"):
        page.goto(stack.url + path)
        assert not grave_violations(page), path
        shot(page, f"access{path.replace('/', '-')}-{scheme}")


def test_phone_holds_the_pages(phone: Page, stack: RunningStack, access: Access) -> None:
    order = TokenOrder("a script with quite a long name", Role.VIEWER)
    access.tokens.create(ROOT, access.users.get("anna"), order)
    _sign_in(phone, stack, "anna", "/account")
    for path in ("/account", "/admin/users", "/admin/audit"):
        phone.goto(stack.url + path)
        wide = phone.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert wide <= 0, path
        shot(phone, f"access{path.replace('/', '-')}-phone")
    phone.goto(f"{stack.url}/runs")
    phone.get_by_role("button", name="More").tap()
    phone.get_by_role("link", name="anna").tap()
    phone.wait_for_url("**/account")


def test_signs_in_without_scripts(new_page: Any, stack: RunningStack, access: Access) -> None:
    page = new_page(java_script_enabled=False)
    _sign_in(page, stack, "anna", "/admin/users")

    assert page.get_by_role("heading", name="Administration").is_visible()
