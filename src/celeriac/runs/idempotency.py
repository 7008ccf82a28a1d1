"""Requests that a client may send twice and that are carried out once: idempotency keys.

A key is a hash in Redis, `celeriac-key-<SHA-256 of it>` where a client chose it: which request it
was used for, the identifier of the run that was chosen for it before anything was published, until
when somebody is at work on it, and at last the run as it was accepted. Whoever finds it without an
answer and with nobody at work goes on under the identifier that is there, so that no crash makes a
second run.

Source: draft-ietf-httpapi-idempotency-key-header-07.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from pydantic_core import to_jsonable_python
from uuid_utils import uuid4, uuid7

from celeriac.errors import InvalidKeyError, KeyInProgressError, KeyReusedError
from celeriac.redis_client import connect, redis_errors
from celeriac.runs.run import Run, json_of

KEY_PREFIX: Final = "celeriac-key-"
RESUBMIT_PREFIX: Final = "celeriac-resubmit-"
"""Bulk actions have keys of their own, which nothing that a client sends can reach."""
LONGEST_KEY: Final = 255
LEASE_S: Final = 30
"""How long a request may take before another one with its key takes over; one whose process lives
takes a few seconds at most."""

# Answers: 'other' (used for another request), 'answered' and the run, 'busy', or 'claimed', the
# run's identifier, and whether somebody claimed it before who never told the outcome.
_CLAIM: Final = """
local found = redis.call('HMGET', KEYS[1], 'request', 'run', 'leased_until', 'answer')
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if found[1] and found[1] ~= ARGV[1] then return {'other'} end
if found[4] then return {'answered', found[4]} end
if found[3] and tonumber(found[3]) > now then return {'busy'} end
if found[1] then
  redis.call('HSET', KEYS[1], 'unsure', 1)
else
  redis.call('HSET', KEYS[1], 'request', ARGV[1], 'run', ARGV[2])
  redis.call('EXPIRE', KEYS[1], ARGV[5])
end
redis.call('HSET', KEYS[1], 'token', ARGV[3], 'leased_until', now + ARGV[4])
return {'claimed', found[2] or ARGV[2], found[1] and '1' or '0'}
"""
# Gives the key up: as if it had never been used where nothing can have been published, and
# otherwise for the next one to go on with.
_RELEASE: Final = """
if redis.call('HGET', KEYS[1], 'token') ~= ARGV[1] then return end
if ARGV[2] == '1' or redis.call('HEXISTS', KEYS[1], 'unsure') == 1 then
  redis.call('HSET', KEYS[1], 'leased_until', 0, 'unsure', 1)
else
  redis.call('DEL', KEYS[1])
end
"""


@dataclass(frozen=True)
class Claim:
    """The right to carry out a request under this run's identifier, or the answer it has already.

    `is_again` tells that somebody had it before, who may have published the run.
    """

    key: str
    run_id: str
    token: str
    expires_s: int
    is_again: bool = False
    answer: Run | None = None


@dataclass(frozen=True)
class Outcome:
    """The run of a request; `is_replay` tells that it comes from an earlier one with its key."""

    run: Run
    is_replay: bool = False


def fingerprint(request: Sequence[Any]) -> str:
    """Tell requests apart, whatever the order of names in their JSON."""
    text = json.dumps(to_jsonable_python(request), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


class Keys:
    """Claims keys in Redis, keeps the answers to their requests, and gives claims up."""

    def __init__(self, redis_url: str, expires_s: int, prefix: str = KEY_PREFIX) -> None:
        self._redis = connect(redis_url)
        self._expires_s = expires_s
        self._prefix = prefix

    def claim(self, key: str, request: Sequence[Any]) -> Claim:
        """Claim a key for a request.

        Raises:
            InvalidKeyError: no key looks like this.
            KeyReusedError: it was used for another request.
            KeyInProgressError: somebody is at work on the same request.
            ResultsUnavailableError: nothing was written.
        """
        name = self._prefix + hashlib.sha256(_checked(key).encode()).hexdigest()
        token, run_id = str(uuid4()), str(uuid7())
        arguments = (fingerprint(request), run_id, token, LEASE_S * 1000, self._expires_s)
        with redis_errors():
            answer = self._redis.eval(_CLAIM, 1, name, *arguments)
        word, *rest = (text.decode() for text in answer)
        match word:
            case "other":
                raise KeyReusedError
            case "busy":
                raise KeyInProgressError
            case "answered":
                run = Run.model_validate(json.loads(rest[0]))
                return Claim(name, run.id, token, self._expires_s, answer=run)
        return Claim(name, rest[0], token, self._expires_s, is_again=rest[1] == "1")

    def settle(self, claim: Claim, run: Run) -> None:
        """Keep the answer to a request.

        Raises:
            ResultsUnavailableError: the request may be made again.
        """
        with redis_errors(), self._redis.pipeline() as pipe:
            settle(pipe, claim, run)
            pipe.execute()

    def release(self, claim: Claim, *, maybe_published: bool) -> None:
        """Let a request be made again, under the same identifier if it may be known already.

        Raises:
            ResultsUnavailableError: its claim ends with its lease then.
        """
        with redis_errors():
            self._redis.eval(_RELEASE, 1, claim.key, claim.token, int(maybe_published))


def settle(pipe: Any, claim: Claim, run: Run) -> None:
    """Keep the answer, from now on for as long as keys are remembered."""
    pipe.hset(claim.key, "answer", json_of(run))
    pipe.expire(claim.key, claim.expires_s)


def _checked(key: str) -> str:
    if not (0 < len(key) <= LONGEST_KEY and key.isprintable()):
        raise InvalidKeyError(
            f"An idempotency key has 1 to {LONGEST_KEY} printable characters; a UUID is a good one."
        )
    return key
