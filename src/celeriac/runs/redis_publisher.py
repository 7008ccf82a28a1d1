"""Publishing by Redis: each submission has a connection of kombu's while it lasts."""

import logging
from collections.abc import Mapping, Sequence
from hashlib import sha1
from typing import Any

import redis
from celery import Celery
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError
from redis.retry import Retry

from celeriac.celeryconfig import PRIORITIES
from celeriac.errors import BrokerUnavailableError, CeleriacError, FaultError, UnconfirmedError
from celeriac.exchange import SharedExchange, exchange, packed
from celeriac.line_producer import fresh_channel
from celeriac.redis_templates import Posting, RedisTemplate, redis_template_of
from celeriac.redis_transport import BELL
from celeriac.runs.draft import Draft
from celeriac.runs.sending import PASSING, Landing, apply, not_sent, translated, turn
from celeriac.templates import Call, Templates

log = logging.getLogger(__name__)


# One message: its list, the bell that wakes idle workers, and Celery's event, if there is any.
_POST = """
redis.call('LPUSH', KEYS[1], ARGV[1])
redis.call('XADD', KEYS[2], 'MAXLEN', 1, '*', 'queue', KEYS[1])
if ARGV[2] ~= '' then redis.call('PUBLISH', ARGV[2], ARGV[3]) end
return 1
"""
_POST_SHA = sha1(_POST.encode(), usedforsecurity=False).hexdigest()
_RING = packed(("XADD", BELL, "MAXLEN", 1, "*", "queue", "many"))


class RedisPublisher:
    """Publishes one message, those of concurrent submissions together, or several at once."""

    def __init__(self, app: Celery) -> None:
        self._app = app
        self._templates: Templates[RedisTemplate] = Templates(app, self._template)
        self._shared = SharedExchange()
        self._client: Any = None

    def _template(self, task: Any, options: Mapping[str, Any]) -> RedisTemplate | None:
        with turn(self._app.producer_pool) as producer:
            found = redis_template_of(self._app, task, options, producer)
            if found and self._client is None:
                self._client = _client_like(producer.channel.pool)
            return found

    def publish(self, draft: Draft) -> None:
        """Publish a message.

        Raises:
            BrokerUnavailableError: nothing was sent.
            redis.RedisError, kombu.KombuError, OSError: it may have been sent.
        """
        with translated():
            posting = self._posting(draft)
        if posting is None:
            self._publish_by_kombu(draft)
            return
        with translated():
            self._connect()
        call = (2, posting.key, BELL, posting.message, posting.topic, posting.event)
        answer = self._shared.send(self._client, ("EVALSHA", _POST_SHA, *call))
        if isinstance(answer, NoScriptError):
            answer = self._shared.send(self._client, ("EVAL", _POST, *call))
        if isinstance(answer, Exception):
            raise answer

    def _publish_by_kombu(self, draft: Draft) -> None:
        with turn(self._app.producer_pool) as producer:
            with translated():
                _ = producer.channel  # Connects; nothing has been sent until here.
            try:
                apply(self._app, draft, producer)
            except PASSING:
                # An answer that comes late would be taken for the next one's, so cut the line.
                if producer.connection:
                    producer.connection.collect()
                raise

    def _posting(self, draft: Draft) -> Posting | None:
        """Make a message from its template, where it has one."""
        if draft.run.eta or draft.expires:
            return None
        queue, priority = draft.options.queue, draft.options.priority
        turned = None if priority is None else PRIORITIES - 1 - priority
        template = self._templates.find(draft.task_name, queue, turned)
        if template is None:
            return None
        return template.posting(
            Call(draft.run.id, draft.call.args, draft.call.kwargs, draft.headers)
        )

    def _connect(self) -> None:
        """Find out whether the broker is there, before anything is sent."""
        pool = self._client.connection_pool
        pool.release(pool.get_connection())

    def send_all(self, drafts: Sequence[Draft]) -> Landing:
        """Publish several at once; they have landed when this returns."""
        outcomes = self._published(drafts)
        return lambda: outcomes

    def _published(self, drafts: Sequence[Draft]) -> list[CeleriacError | None]:
        outcomes: dict[str, CeleriacError | None] = {}
        others: list[Draft] = []
        try:
            with translated():
                postings = self._all_posted(drafts, others, outcomes)
                if postings:
                    self._connect()
        except BrokerUnavailableError as error:
            return [error] * len(drafts)
        outcomes |= self._outcomes_of(postings)
        if others:
            told = self._publish_all_by_kombu(others)
            outcomes |= {d.run.id: error for d, error in zip(others, told, strict=True)}
        return [outcomes[draft.run.id] for draft in drafts]

    def _all_posted(
        self,
        drafts: Sequence[Draft],
        others: list[Draft],
        outcomes: dict[str, CeleriacError | None],
    ) -> dict[str, Posting]:
        """Make the messages that have templates; the others are Celery's to make."""
        postings: dict[str, Posting] = {}
        for draft in drafts:
            try:
                posting = self._posting(draft)
            except (CeleriacError, *PASSING):
                raise
            except Exception:
                log.exception("The message of run %s was not sent.", draft.run.id)
                outcomes[draft.run.id] = FaultError()
                continue
            if posting:
                postings[draft.run.id] = posting
            else:
                others.append(draft)
        return postings

    def _outcomes_of(self, postings: Mapping[str, Posting]) -> dict[str, CeleriacError | None]:
        """Put messages into their lists, all of one list at once."""
        if not postings:
            return {}
        lists: dict[str, list[str]] = {}
        for run_id, posting in postings.items():
            lists.setdefault(posting.key, []).append(run_id)
        commands = [
            packed(("LPUSH", key, *(postings[run_id].message for run_id in ids)))
            for key, ids in lists.items()
        ]
        events = [packed(("PUBLISH", p.topic, p.event)) for p in postings.values() if p.topic]
        try:
            answers = exchange(self._client, [*commands, _RING, *events])
        except PASSING:
            log.warning("The broker broke off a batch of %d.", len(postings), exc_info=True)
            return {run_id: UnconfirmedError(run_id) for run_id in postings}
        return {
            run_id: not_sent() if isinstance(answer, Exception) else None
            for ids, answer in zip(lists.values(), answers, strict=False)
            for run_id in ids
        }

    def _publish_all_by_kombu(self, drafts: Sequence[Draft]) -> list[CeleriacError | None]:
        group = _Group(self._app)
        try:
            with (
                turn(self._app.pool) as connection,
                fresh_channel(connection, PASSING) as channel,
            ):
                group.send(drafts, self._app.amqp.Producer(channel, auto_declare=False))
        except BrokerUnavailableError as error:
            return [error] * len(drafts)
        except PASSING:
            log.warning("The broker broke off a batch of %d messages.", len(drafts), exc_info=True)
        return [group.outcome(draft.run.id) for draft in drafts]


def _client_like(pool: Any) -> Any:
    """Give a client that connects as kombu does, and sends nothing a second time by itself."""
    options = {**pool.connection_kwargs, "retry": Retry(NoBackoff(), 0)}
    own = redis.ConnectionPool(connection_class=pool.connection_class, **options)
    return redis.Redis(connection_pool=own)


class _Group:
    """Messages that go in one pipeline, which tells of all of them at once."""

    def __init__(self, app: Celery) -> None:
        self._app = app
        self._faulty: set[str] = set()
        self._sent: set[str] = set()
        self._has_landed = False

    def send(self, drafts: Sequence[Draft], producer: Any) -> None:
        with producer.batch():
            for draft in drafts:
                self._send(draft, producer)
        self._has_landed = True

    def _send(self, draft: Draft, producer: Any) -> None:
        """Send one; what a task's own code raises meanwhile is wrong with this one alone."""
        self._sent.add(draft.run.id)
        try:
            apply(self._app, draft, producer)
        except PASSING:
            raise
        except Exception:
            log.exception("The message of run %s was not sent.", draft.run.id)
            self._sent.discard(draft.run.id)
            self._faulty.add(draft.run.id)

    def outcome(self, run_id: str) -> CeleriacError | None:
        """Give what is wrong, or None when the broker has the message."""
        if run_id in self._faulty:
            return FaultError()
        if run_id not in self._sent:
            return not_sent()
        return None if self._has_landed else UnconfirmedError(run_id)
