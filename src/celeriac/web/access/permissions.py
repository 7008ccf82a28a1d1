"""What every endpoint asks for, and what the audit trail calls it.

A new endpoint needs a line here. One without is refused to all but administrators, and fails a
test.
"""

from dataclasses import dataclass
from typing import Final

from celeriac.access import Role


@dataclass(frozen=True)
class Rule:
    """`role` may use it; None is everybody, signed in or not.

    `action` is what the audit trail calls it, where it changes anything, and `keeps` names those
    fields of the request that the trail tells, too. What is `told` tells of its success itself.
    `reach` is what it is about, for those whose rights are limited to some tasks and queues: a
    `task`, a `run`, a `queue`, or `all`, which is refused to them; empty is nothing of that kind.
    """

    role: Role | None
    action: str = ""
    keeps: tuple[str, ...] = ()
    told: bool = False
    reach: str = "all"


PUBLIC: Final = Rule(None, reach="")
SEES: Final = Rule(Role.VIEWER, reach="")
UNKNOWN: Final = Rule(Role.ADMIN, "undeclared")
BULK: Final = ("action", "filter", "ids", "all", "rate", "again", "dry_run", "confirmed", "q")
LETTERS: Final = ("ids", "id", "group", "queue", "all", "rate")


def _operates(action: str, *keeps: str, reach: str = "all") -> Rule:
    return Rule(Role.OPERATOR, action, keeps, reach=reach)


def _administers(action: str, *keeps: str, told: bool = False, reach: str = "all") -> Rule:
    return Rule(Role.ADMIN, action, keeps, told, reach)


def _own(action: str) -> Rule:
    """Let everybody who is signed in do it with what is theirs."""
    return Rule(Role.VIEWER, action, told=True, reach="")


RULES: Final = {
    "static": PUBLIC,
    "health.healthz": PUBLIC,
    "health.readyz": PUBLIC,
    "metrics.show": SEES,
    "docs.browse": SEES,
    "docs.openapi_json": SEES,
    # Runs.
    "api.list_runs": SEES,
    "api.show_run": SEES,
    "api.show_attempts": SEES,
    "api.show_lineage": SEES,
    "api.show_logs": SEES,
    "api.show_stats": SEES,
    "api.list_failures": SEES,
    "streams.all_events": SEES,
    "streams.run_events": SEES,
    "home.show": SEES,
    "home.numbers": SEES,
    "pages.run": SEES,
    "pages.live": SEES,
    "pages.lineage": SEES,
    "pages.log_text": SEES,
    "pages.palette": SEES,
    "run_list.show": SEES,
    "run_list.changes": SEES,
    "run_list.actions_again": SEES,
    "api.submit": _operates("run.submit", reach="task"),
    "api.submit_batch": _operates("run.batch"),
    "api.cancel": _operates("run.cancel", "foreign", reach="run"),
    "api.resubmit": _operates("run.resubmit", reach="run"),
    "api.cancel_all": _operates("runs.cancel", *BULK),
    "api.resubmit_all": _operates("runs.resubmit", *BULK),
    "pages.submit": _operates("run.submit", reach="task"),
    "pages.cancel": _operates("run.cancel", reach="run"),
    "pages.resubmit": _operates("run.resubmit", reach="run"),
    "run_list.act": _operates("runs.act", *BULK),
    # Tasks.
    "api.list_tasks": SEES,
    "api.show_task": SEES,
    "pages.tasks": SEES,
    "pages.task": SEES,
    "pages.form_again": SEES,
    "pages.snippets": SEES,
    # Queues and workers.
    "api.list_queues": SEES,
    "api.show_queue": SEES,
    "fleet.queues": SEES,
    "fleet.queue": SEES,
    "api.pause_queue": _operates("queue.pause", reach="queue"),
    "api.resume_queue": _operates("queue.resume", reach="queue"),
    "fleet.pause": _operates("queue.pause", reach="queue"),
    "fleet.resume": _operates("queue.resume", reach="queue"),
    "api.purge_queue": _administers("queue.purge", reach="queue"),
    "fleet.confirm_purge": Rule(Role.ADMIN),
    "fleet.purge": _administers("queue.purge", reach="queue"),
    "api.list_workers": SEES,
    "api.show_worker": SEES,
    "fleet.workers": SEES,
    "fleet.worker": SEES,
    "api.grow_worker": _operates("worker.grow", "by"),
    "api.shrink_worker": _operates("worker.shrink", "by"),
    "api.shut_down_worker": _operates("worker.shutdown"),
    "fleet.change_worker": _operates("worker.change"),
    # Flower: what its pages show, and what its API changes.
    "flower.see": SEES,
    "flower.search": SEES,
    "flower.cancel": _operates("run.cancel", "terminate", "signal", reach="run"),
    "flower.submit": _operates("run.submit"),
    "flower.shut_down_worker": _administers("worker.shutdown"),
    "flower.change_worker": _administers("worker.change", "n", "min", "max", "queue"),
    "flower.limit_task": _administers("task.limit", "workername", "soft", "hard", "ratelimit"),
    # Dead letters.
    "api.list_dead_letters": SEES,
    "dead_letters.show": SEES,
    "dead_letters.count": SEES,
    "api.replay_dead_letters": _operates("letters.replay", *LETTERS),
    "dead_letters.replay": _operates("letters.replay", *LETTERS),
    "api.sign_dead_letters": _administers("letters.sign", *LETTERS),
    "dead_letters.sign": _administers("letters.sign", *LETTERS),
    "api.discard_dead_letters": _administers("letters.discard", *LETTERS),
    "dead_letters.discard": _administers("letters.discard", *LETTERS),
    # Signing in, and what is one's own.
    "signing.show": PUBLIC,
    "signing.sign_in": PUBLIC,
    "signing.to_provider": PUBLIC,
    "signing.from_provider": PUBLIC,
    "signing.welcome": PUBLIC,
    "signing.follow": PUBLIC,
    "signing.sign_out": _own("session.end"),
    "api.begin_login": PUBLIC,
    "api.fetch_login": PUBLIC,
    "account.show_login": SEES,
    "account.decide_login": _own("login.decide"),
    "api.log_out": _own("token.revoke"),
    "api.show_me": SEES,
    "account.show": SEES,
    "account.sign_out_everywhere": _own("session.end_all"),
    "account.change_password": _own("user.password"),
    "account.create_token": _own("token.create"),
    "account.revoke_token": _own("token.revoke"),
    # Administration.
    "admin.users": Rule(Role.ADMIN),
    "admin.add_user": _administers("user.add", told=True),
    "admin.change_user": _administers("user.change", told=True),
    "admin.act_on_user": _administers("user.act", told=True),
    "admin.tokens": Rule(Role.ADMIN),
    "admin.revoke_token": _administers("token.revoke", told=True),
    "admin.audit": Rule(Role.ADMIN),
    "admin.export_audit": Rule(Role.ADMIN),
}


def rule_of(endpoint: str | None) -> Rule:
    """Give what an endpoint asks for; what is no endpoint is nothing to tell strangers either."""
    return SEES if endpoint is None else RULES.get(endpoint, UNKNOWN)
