"""Users, sessions, tokens, links and the audit trail: the same on both databases."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from argon2 import PasswordHasher
from sqlalchemy import text

from celeriac.access import (
    Access,
    AuditFilter,
    Entry,
    Identity,
    Means,
    Role,
    Scope,
    TokenOrder,
    logins,
    passwords,
)
from celeriac.access.errors import (
    ForbiddenError,
    LastAdminError,
    LinkSpentError,
    LoginDeniedError,
    LoginLostError,
    NameTakenError,
    NoRoleError,
    SignInError,
    TooManyLoginsError,
    UnknownTokenError,
    UnknownUserError,
    UserDisabledError,
)
from celeriac.access.passwords import is_right
from celeriac.access.provided import Person
from celeriac.errors import CeleriacError, InvalidInputError

ROOT = Identity("root", Role.ADMIN, Means.CLI, address="here")
PASSWORD = "correct horse battery"
ELSEWHERE = "10.0.0.9"


@pytest.fixture(autouse=True)
def _cheap_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spend no time on what makes guessing dear."""
    cheap = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)
    monkeypatch.setattr(passwords, "_hasher", cheap)


@pytest.fixture
def access(history_url: str) -> Iterator[Access]:
    access = Access(history_url, wait_s=2)
    access.prepare()
    yield access
    access.close()


def _add(access: Access, name: str, role: Role, scope: Scope | None = None) -> None:
    access.users.add(ROOT, name, role, scope)
    access.users.set_password(ROOT, name, PASSWORD)


def _signed_in(access: Access, name: str) -> str:
    user = access.users.check(name, PASSWORD)
    return access.sessions.begin(user, Means.PASSWORD, ELSEWHERE, "a browser")


def test_first_link_makes_an_administrator_once(access: Access) -> None:
    first, second = access.links.for_setup(), access.links.for_setup()
    assert first and second and access.links.name_of(first) is None

    user = access.links.follow(first, " Ada ", PASSWORD)

    assert (user.name, user.role, user.has_password) == ("ada", Role.ADMIN, True)
    assert access.users.check("ADA", PASSWORD).id == user.id
    assert access.links.for_setup() is None
    for spent in (first, second, "nonsense", "\0\ud800"):
        with pytest.raises(LinkSpentError):
            access.links.follow(spent, "eve", PASSWORD)


def test_first_link_is_good_until_there_is_an_administrator(access: Access) -> None:
    first = access.links.for_setup()
    _add(access, "eve", Role.OPERATOR)

    assert first and access.links.name_of(first) is None
    assert access.links.for_setup()
    _add(access, "ada", Role.ADMIN)

    assert access.links.for_setup() is None
    with pytest.raises(LinkSpentError):
        access.links.follow(first, "bob", PASSWORD)


def test_link_of_a_user_chooses_a_password_and_signs_out_the_old_one(access: Access) -> None:
    _add(access, "ada", Role.ADMIN)
    session = _signed_in(access, "ada")
    old, new = access.links.for_user(ROOT, "ada"), access.links.for_user(ROOT, "ada")

    with pytest.raises(LinkSpentError):
        access.links.follow(old, "", "another good one")
    access.links.follow(new, "ignored", "another good one")

    assert access.sessions.find(session) is None
    assert access.users.check("ada", "another good one").name == "ada"
    with pytest.raises(SignInError):
        access.users.check("ada", PASSWORD)


@pytest.mark.parametrize("password", ["", "short", "x" * 300, "maria.lopez1"])
def test_password_that_is_none_is_refused_and_the_link_still_works(
    access: Access, password: str
) -> None:
    access.users.add(ROOT, "maria.lopez", Role.VIEWER)
    link = access.links.for_user(ROOT, "maria.lopez")

    with pytest.raises(InvalidInputError, match="/password"):
        access.links.follow(link, "", password)

    assert access.links.follow(link, "", PASSWORD).name == "maria.lopez"


@pytest.mark.parametrize(
    ("name", "password"),
    [
        ("ada", "wrong"),
        ("ada", ""),
        ("nobody", PASSWORD),
        ("ada\0", PASSWORD),
        ("\ud800", PASSWORD),
    ],
)
def test_wrong_name_and_wrong_password_look_the_same(
    access: Access, name: str, password: str
) -> None:
    _add(access, "ada", Role.VIEWER)

    with pytest.raises(SignInError, match=r"^Name or password is wrong\.$"):
        access.users.check(name, password)


def test_user_without_a_password_cannot_sign_in(access: Access) -> None:
    access.users.add(ROOT, "ada", Role.VIEWER)

    with pytest.raises(SignInError):
        access.users.check("ada", "")


@pytest.mark.parametrize("name", ["", "-x", "a b", "a/b", "x" * 101, "ä", "<b>", "a\0"])
def test_name_that_is_none_is_refused(access: Access, name: str) -> None:
    with pytest.raises(InvalidInputError, match="/name"):
        access.users.add(ROOT, name, Role.VIEWER)


def test_name_is_given_once(access: Access) -> None:
    access.users.add(ROOT, "ada", Role.VIEWER)

    with pytest.raises(InvalidInputError, match="already"):
        access.users.add(ROOT, "ADA", Role.VIEWER)
    with pytest.raises(UnknownUserError):
        access.users.get("eve")


def test_passwords_and_secrets_are_nowhere_in_the_database(access: Access) -> None:
    _add(access, "ada", Role.ADMIN)
    session = _signed_in(access, "ada")
    link = access.links.for_user(ROOT, "ada")
    _, token = access.tokens.create(ROOT, access.users.get("ada"), TokenOrder("x", Role.ADMIN))

    with access._database.read() as connection:
        tables = ("users", "sessions", "links", "tokens", "audit_entries")
        held = str([connection.execute(text(f"SELECT * FROM {t}")).all() for t in tables])  # noqa: S608
    for secret in (PASSWORD, session, link, token, token.split("_", 2)[2]):
        assert secret not in held
    assert "$argon2id$" in held


def test_session_tells_who_it_is_until_it_is_ended(access: Access) -> None:
    _add(access, "ada", Role.OPERATOR, Scope(tasks=("mail.*",)))
    first, second = _signed_in(access, "ada"), _signed_in(access, "ada")
    assert first != second

    who = access.sessions.find(first)
    assert who is not None
    assert (who.name, who.role, who.means) == ("ada", Role.OPERATOR, Means.PASSWORD)
    assert who.may_use_task("mail.send") and not who.may_use_task("text.reverse")
    (seen, _) = access.sessions.of_user(access.users.get("ada").id)
    assert (seen.address, seen.agent) == (ELSEWHERE, "a browser")

    access.sessions.end(who)
    assert access.sessions.find(first) is None
    assert access.sessions.find(second) is not None
    assert access.sessions.end_all(ROOT, access.users.get("ada")) == 1
    assert access.sessions.find(second) is None
    assert access.sessions.find("\ud800") is None


@pytest.mark.parametrize("limits", [{"idle": timedelta(0)}, {"longest": timedelta(0)}])
def test_session_ends_by_itself(history_url: str, limits: dict[str, timedelta]) -> None:
    access = Access(history_url, wait_s=2, **limits)
    access.prepare()
    _add(access, "ada", Role.VIEWER)

    assert access.sessions.find(_signed_in(access, "ada")) is None
    access.close()


def test_session_follows_the_role_and_ends_with_the_user(access: Access) -> None:
    _add(access, "root", Role.ADMIN)
    _add(access, "ada", Role.ADMIN)
    secret = _signed_in(access, "ada")

    access.users.change(ROOT, "ada", Role.VIEWER)
    who = access.sessions.find(secret)
    assert who and not who.may(Role.OPERATOR)

    access.users.disable(ROOT, "ada")
    assert access.sessions.find(secret) is None
    with pytest.raises(SignInError):
        access.users.check("ada", PASSWORD)
    access.users.enable(ROOT, "ada")
    assert access.sessions.find(secret) is None, "an old session does not come back"
    assert access.users.check("ada", PASSWORD)


def test_last_administrator_stays_one(access: Access) -> None:
    _add(access, "ada", Role.ADMIN)
    access.users.add(ROOT, "never-came", Role.ADMIN)

    with pytest.raises(LastAdminError):
        access.users.disable(ROOT, "ada")
    with pytest.raises(LastAdminError):
        access.users.change(ROOT, "ada", Role.OPERATOR)

    assert access.users.get("ada").role is Role.ADMIN


def test_new_password_signs_out_every_other_browser(access: Access) -> None:
    _add(access, "ada", Role.VIEWER)
    here, elsewhere = _signed_in(access, "ada"), _signed_in(access, "ada")
    who = access.sessions.find(here)
    assert who

    access.users.set_password(who, "ada", "another good one")

    assert access.sessions.find(here) is not None
    assert access.sessions.find(elsewhere) is None


def test_token_opens_until_it_is_revoked(access: Access) -> None:
    _add(access, "ada", Role.ADMIN)
    order = TokenOrder("nightly", Role.OPERATOR, Scope(queues=("fast",)))
    token, told = access.tokens.create(ROOT, access.users.get("ada"), order)

    who = access.tokens.find(told)
    assert who is not None
    assert (who.name, who.role, who.means) == ("ada", Role.OPERATOR, Means.TOKEN)
    assert who.token_id == token.id
    assert who.may_use_queue("fast") and not who.may_use_queue("slow")
    (shown,) = access.tokens.all()
    assert shown.used_at is not None and shown.is_live

    access.tokens.revoke(ROOT, token.id)
    assert access.tokens.find(told) is None
    assert not access.tokens.all()[0].is_live


def test_token_that_is_none_opens_nothing(access: Access) -> None:
    _add(access, "ada", Role.ADMIN)
    token, told = access.tokens.create(ROOT, access.users.get("ada"), TokenOrder("x", Role.ADMIN))

    other = "A" if told[-1] != "A" else "B"
    for wrong in ("", "cel_", told[:-1], told + "x", told[:-1] + other, token.id, "cel_\0_\ud800"):
        assert access.tokens.find(wrong) is None


def test_token_never_may_more_than_its_owner(access: Access) -> None:
    _add(access, "root", Role.ADMIN)
    _add(access, "ada", Role.ADMIN)
    _, told = access.tokens.create(ROOT, access.users.get("ada"), TokenOrder("x", Role.ADMIN))

    access.users.change(ROOT, "ada", Role.VIEWER, Scope(tasks=("mail.*",)))
    who = access.tokens.find(told)
    assert who and who.role is Role.VIEWER and not who.may_use_task("text.reverse")
    with pytest.raises(ForbiddenError):
        access.tokens.create(ROOT, access.users.get("ada"), TokenOrder("y", Role.OPERATOR))

    access.users.disable(ROOT, "ada")
    assert access.tokens.find(told) is None


def test_token_ends_with_its_time(access: Access) -> None:
    _add(access, "ada", Role.VIEWER)
    order = TokenOrder("x", Role.VIEWER, lifetime=timedelta(microseconds=1))
    _, told = access.tokens.create(ROOT, access.users.get("ada"), order)

    assert access.tokens.find(told) is None


def test_token_is_revoked_by_its_owner_alone(access: Access) -> None:
    _add(access, "ada", Role.VIEWER)
    _add(access, "eve", Role.VIEWER)
    ada, eve = access.users.get("ada"), access.users.get("eve")
    token, told = access.tokens.create(ROOT, ada, TokenOrder("x", Role.VIEWER))

    with pytest.raises(UnknownTokenError):
        access.tokens.revoke(ROOT, token.id, eve.id)
    assert access.tokens.find(told) is not None
    access.tokens.revoke(ROOT, token.id, ada.id)
    assert access.tokens.all(eve.id) == []


def test_audit_tells_who_did_what_newest_first(access: Access) -> None:
    _add(access, "ada", Role.ADMIN)
    access.sessions.begin(access.users.get("ada"), Means.PASSWORD, ELSEWHERE, "")

    told = [(e.actor, e.means, e.address, e.action, e.target) for e in access.audit.find().entries]
    assert told == [
        ("ada", "password", ELSEWHERE, "session.begin", "ada"),
        ("root", "cli", "here", "user.password", "ada"),
        ("root", "cli", "here", "user.add", "ada"),
    ]


def test_audit_calls_a_user_by_the_name_that_is_kept(access: Access) -> None:
    _add(access, "ada", Role.ADMIN)
    access.users.change(ROOT, " Ada", Role.ADMIN)
    access.users.add(ROOT, "Eve", Role.VIEWER)
    access.users.disable(ROOT, "EVE ")
    access.users.enable(ROOT, "EVE")
    access.users.set_password(ROOT, "EVE", PASSWORD)

    assert {entry.target for entry in access.audit.find().entries} == {"ada", "eve"}


def test_audit_is_found_by_what_it_tells(access: Access) -> None:
    now = datetime.now(UTC)
    old = now - timedelta(days=3)
    access.audit.record(
        [
            Entry("ada", "token", "run.cancel", "r1", "10.0.0.1", "abc", at=old),
            Entry("ada", "password", "run.submit", "mail.send", "::1", detail={"n": 100}, at=now),
            Entry("eve", "password", "runs.purge", "50%_off", outcome="forbidden", at=now),
        ]
    )

    def found(**wanted: object) -> list[str]:
        return [e.target for e in access.audit.find(AuditFilter(**wanted)).entries]  # type: ignore[arg-type]

    assert found(actor="ada") == ["mail.send", "r1"]
    assert found(action="run") == ["mail.send", "r1"]
    assert found(action="run.cancel") == found(until=now - timedelta(days=1)) == ["r1"]
    assert found(since=now - timedelta(days=1), actor="eve") == ["50%_off"]
    assert found(q="0%_O") == found(q="FORBIDDEN") == ["50%_off"]
    assert found(q="%") == ["50%_off"]
    assert found(q="\0\ud800") == found(actor="\0") == []


def test_audit_pages_and_exports_all_of_it(access: Access) -> None:
    access.audit.record([Entry("ada", "cli", "x", str(number)) for number in range(25)])

    seen: list[str] = []
    cursor = None
    while True:
        page = access.audit.find(cursor=cursor, limit=10)
        seen += [entry.target for entry in page.entries]
        if (cursor := page.next_cursor) is None:
            break
    assert seen == [str(number) for number in range(24, -1, -1)]
    lines = [json.loads(line) for line in access.audit.export()]
    assert [line["target"] for line in lines] == seen
    assert lines[0]["at"].endswith("Z")
    with pytest.raises(InvalidInputError, match="/cursor"):
        access.audit.find(cursor="1; DROP")


def test_audit_takes_any_words_and_cuts_long_ones(access: Access) -> None:
    odd = Entry("\0", "x", "\ud800", "y" * 10_000, detail={"a": "\0\ud800", "b": "z" * 10_000})
    access.audit.record([odd, Entry("ada", "x", "y", detail={"a": "\0\ud800"})])

    plain, cut = access.audit.find().entries
    assert (cut.actor, cut.action, len(cut.target)) == ("\ufffd", "?", 500)
    assert plain.detail == {"a": "\0?"}


@pytest.mark.parametrize(
    "change", ["UPDATE audit_entries SET actor = 'eve'", "DELETE FROM audit_entries"]
)
def test_audit_cannot_be_changed_even_by_the_program_itself(access: Access, change: str) -> None:
    access.audit.record([Entry("ada", "cli", "x")])

    refusal = pytest.raises(CeleriacError, match="append-only")
    with refusal, access._database.write() as connection:
        connection.execute(text(change))

    assert [entry.actor for entry in access.audit.find().entries] == ["ada"]


def test_audit_entry_cannot_be_replaced(access: Access) -> None:
    access.audit.record([Entry("ada", "cli", "x"), Entry("ada", "cli", "y")])
    columns = "seq, at, actor, means, address, action, target, outcome, detail"
    put = f"INTO audit_entries ({columns}) VALUES (1, 0, 'eve', '', '', '', '', '', '{{}}')"
    puts = [f"REPLACE {put}", f"INSERT OR REPLACE {put}"]
    if access._database.dialect != "sqlite":
        puts = [f"INSERT {put} ON CONFLICT (seq) DO UPDATE SET actor = 'eve'"]

    for statement in puts:
        refusal = pytest.raises(CeleriacError, match="append-only")
        with refusal, access._database.write() as connection:
            connection.execute(text(statement))

    assert [(entry.seq, entry.actor) for entry in access.audit.find().entries] == [
        (2, "ada"),
        (1, "ada"),
    ]


def test_scope_has_stars_and_no_other_wildcards() -> None:
    scope = Scope.of_words(["mail.*", "a[b]?"], [])

    assert scope.has_task("mail.send") and scope.has_task("a[b]?")
    assert not scope.has_task("mail") and not scope.has_task("ab?") and not scope.has_task("a[b]c")
    assert scope.has_queue("anything")
    assert Scope.read(**scope.columns) == scope
    for wrong in ([""], ["x" * 201], ["x"] * 1 + [f"y{n}" for n in range(50)]):
        with pytest.raises(InvalidInputError):
            Scope.of_words(wrong, [])


def test_password_is_compared_with_something_where_there_is_none() -> None:
    assert not is_right("", None)
    assert not is_right(PASSWORD, "no digest at all")


def test_person_of_a_provider_is_known_by_its_own_name_for_them(access: Access) -> None:
    ada = Person("https://login.example.org", "4711", "ada", Role.OPERATOR, is_decided=True)
    made = access.provided.welcome(ada, ELSEWHERE)
    assert (made.role, made.has_password, made.issuer) == (Role.OPERATOR, False, ada.issuer)

    again = access.provided.welcome(replace(ada, name="countess", role=Role.ADMIN), ELSEWHERE)

    assert (again.id, again.name, again.role) == (made.id, "ada", Role.ADMIN)
    with pytest.raises(NameTakenError):
        access.provided.welcome(replace(ada, subject="4712"))
    with pytest.raises(NameTakenError):
        access.provided.welcome(replace(ada, issuer="https://login.other.example"))
    with pytest.raises(NoRoleError):
        access.provided.welcome(replace(ada, role=None))
    assert access.users.get("ada").role is Role.ADMIN
    told = [(e.actor, e.means, e.action, e.address) for e in access.audit.find().entries]
    assert told == [("ada", "oidc", action, ELSEWHERE) for action in ("user.change", "user.add")]


def test_administrators_of_a_provider_count_as_some_who_can_sign_in(access: Access) -> None:
    _add(access, "ada", Role.ADMIN)
    eve = Person("https://login.example.org", "1", "eve", Role.ADMIN, is_decided=True)
    access.provided.welcome(eve)

    access.users.disable(ROOT, "ada")

    with pytest.raises(LastAdminError):
        access.users.disable(ROOT, "eve")
    access.users.enable(ROOT, "ada")
    access.users.disable(ROOT, "eve")
    with pytest.raises(UserDisabledError):
        access.provided.welcome(eve)


def test_login_of_a_terminal_is_approved_once_and_its_token_is_fetched_once(
    access: Access,
) -> None:
    _add(access, "ada", Role.OPERATOR)
    ada = access.users.get("ada")
    who = Identity("ada", Role.OPERATOR, Means.PASSWORD, ada.id)
    login, secret = access.logins.begin("ada@laptop\x1b\0", ELSEWHERE)
    typed = f" {login.code.lower().replace('-', ' ')} "
    assert access.logins.find(typed) == login and login.label == "ada@laptop"
    assert access.logins.collect(secret) is None
    with pytest.raises(ForbiddenError):
        access.logins.approve(who, ada, login.code, Role.ADMIN, 30)

    access.logins.approve(who, ada, typed, Role.VIEWER, 30)
    with pytest.raises(LoginLostError):
        access.logins.deny(who, login.code)
    found = access.logins.collect(secret, ELSEWHERE)

    assert found
    token, text = found
    assert (token.owner, token.role, token.label) == (
        "ada",
        Role.VIEWER,
        "celeriac login, ada@laptop",
    )
    assert token.ends_at and timedelta(29) < token.ends_at - datetime.now(UTC) < timedelta(30)
    known = access.tokens.find(text)
    assert known and known.ends_at == token.ends_at
    for spent in (secret, "made up", login.code):
        with pytest.raises(LoginLostError):
            access.logins.collect(spent)
    told = [(e.actor, e.means, e.action) for e in access.audit.find().entries][:2]
    assert told == [("ada", "login", "token.create"), ("ada", "password", "login.approve")]


def test_login_that_is_refused_too_late_or_of_a_disabled_user_gives_no_token(
    access: Access, monkeypatch: pytest.MonkeyPatch
) -> None:
    _add(access, "ada", Role.ADMIN)
    _add(access, "eve", Role.VIEWER)
    eve = access.users.get("eve")
    who = Identity("eve", Role.VIEWER, Means.PASSWORD, eve.id)
    refused, approved = (access.logins.begin("x", ELSEWHERE) for _ in range(2))
    access.logins.deny(who, refused[0].code)
    access.logins.approve(who, eve, approved[0].code, Role.VIEWER, 1)
    access.users.disable(ROOT, "eve")
    for _, secret in (refused, approved):
        with pytest.raises(LoginDeniedError):
            access.logins.collect(secret)
    monkeypatch.setattr(logins, "LASTS", timedelta(seconds=-1))
    late, secret = access.logins.begin("x", ELSEWHERE)
    with pytest.raises(LoginLostError):
        access.logins.find(late.code)
    with pytest.raises(LoginLostError):
        access.logins.collect(secret)

    assert access.tokens.all() == []


def test_strangers_who_ask_for_logins_take_little_room(access: Access) -> None:
    for _ in range(logins.MOST_OF_ONE):
        access.logins.begin("x", ELSEWHERE)

    with pytest.raises(TooManyLoginsError):
        access.logins.begin("x", ELSEWHERE)
    assert access.logins.begin("x", "10.0.0.10")
