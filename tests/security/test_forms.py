"""Whatever is typed into a form and sent with its proof, nothing fails inside."""

import random
from collections.abc import Iterator
from typing import Any, Final

import pytest
from flask.testing import FlaskClient

from access_app import AccessApp
from attack import PAGE, Count, addresses
from celeriac.access import Role
from odd_inputs import KINDS, LEVELS, TASKS, WORDS, nested

SEED: Final = 20_261_130
MANY: Final = 700
ENDS_IT: Final = {"signing.sign_out", "account.sign_out_everywhere"}
"""Whoever sends these is a stranger from then on."""
OF_FORMS: Final = (
    "name", "role", "tasks", "queues", "password", "again", "old", "label", "days", "decision",
    "code", "next", "ids", "id", "group", "queue", "all", "rate", "action", "counted", "confirmed",
    "typed", "q", "state", "task", "tag", "since", "until", "resubmit_of", "order", "by", "most",
    "args", "args.text", "args.to.0", "args.to.999999", "args.text.0.x", "args.", "args..", "*",
    "options", "options.queue", "options.eta", "options.tags.0", "options.priority", "args.limit",
)  # fmt: skip
TYPED: Final = (
    "", " ", "x", "0", "-1", "1", "1e999", "NaN", "9" * 5_000, "on", "true", "null", "{}", "[",
    "\0", "\u202e", "\ufdd0", "x" * 70_000, "a,b c", "*," * 60, "[*]", "' OR 1=1 --", "{{7*7}}",
    "%s%n", "../..", "//evil.example", "admin", "operator", "viewer", "root", "approve", "cancel",
    "resubmit", "text.reverse", "celery_see", "2030-01-31T09:00", "9999-12-31T23:59:59+99:99",
    "since=x", "30", "01936d4c-7b7e-7cc0-9a3f-0123456789ab", "a\r\nSet-Cookie: b=c",
    "correct horse battery 2",
)  # fmt: skip


def _targets(web: AccessApp, chance: random.Random) -> Iterator[tuple[str, str]]:
    """Give endpoints and addresses that take a form, without an end."""
    found = [
        (address.endpoint, address.path)
        for address in addresses(web.app, word="{}")
        if "POST" in address.methods - {"GET"}
        and not address.path.startswith(("/api/", "/flower/"))
        and address.endpoint not in ENDS_IT
    ]
    assert len(found) > 20
    while True:
        yield chance.choice(found)


def _proof(browser: FlaskClient) -> str:
    page = browser.get("/sign-in", headers=PAGE, follow_redirects=True).text
    return page.partition('name="csrf-token" content="')[2].partition('"')[0]


def _fields(chance: random.Random) -> dict[str, list[str]]:
    """Fill some of the fields that there are, some more than once."""

    def typed() -> str:
        if not chance.randrange(6):
            return nested(chance.choice(LEVELS), chance.choice(KINDS))
        return chance.choice(TYPED)

    names = chance.sample(OF_FORMS, chance.randint(0, 12))
    return {name: [typed() for _ in range(chance.choice((1, 1, 1, 2, 30)))] for name in names}


@pytest.mark.timeout(300)
def test_forms_with_their_proof_never_fail(web: AccessApp, count: Count) -> None:
    web.add("victim", Role.VIEWER)
    chance = random.Random(SEED)
    targets = _targets(web, chance)
    browsers: list[FlaskClient] = [
        web.app.test_client(), *map(web.signed_in, ("viewer", "operator", "admin", "admin"))
    ]  # fmt: skip
    proofs = [_proof(browser) for browser in browsers]
    answered: dict[str, set[int]] = {}
    for _ in range(MANY):
        endpoint, path = next(targets)
        word = chance.choice(TASKS if "/tasks/" in path else (*WORDS, "victim"))
        who = chance.randrange(len(browsers))
        fields: dict[str, Any] = _fields(chance) | {"csrf_token": proofs[who]}
        answer = browsers[who].post(
            path.replace("{}", word), data=fields, headers=PAGE, follow_redirects=True,
            environ_overrides={"REMOTE_ADDR": "192.0.2.77"},
        )  # fmt: skip
        said = f"{path} {word} {str(fields)[:400]}: {answer.status}"
        assert answer.status_code < 500, f"{said} {answer.text[-600:]}"
        assert "stale_form" not in answer.text, said
        answered.setdefault(endpoint, set()).add(answer.status_code)
        answer.close()
    # Those who may are not all turned away at the door.
    for begin in ("admin.", "account.", "pages.", "run_list.", "dead_letters."):
        seen = set().union(*(found for each, found in answered.items() if each.startswith(begin)))
        assert seen - {401, 403, 404}, f"{begin} {answered}"
    count("forms with their proof and odd content, none failed", MANY)
