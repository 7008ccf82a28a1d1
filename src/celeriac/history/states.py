"""The states that the history stores, and their order within one attempt.

`SCHEDULED` is stored as `PENDING`: whether the ETA has passed is decided when somebody looks.
"""

PENDING = "PENDING"
SCHEDULED = "SCHEDULED"
STARTED = "STARTED"
RETRY = "RETRY"
REVOKED = "REVOKED"
FAILURE = "FAILURE"
DEAD = "DEAD"
SUCCESS = "SUCCESS"

RANK = {PENDING: 0, STARTED: 1, RETRY: 2, REVOKED: 3, FAILURE: 3, DEAD: 3, SUCCESS: 4}
"""A later rank wins within an attempt, so SUCCESS beats a FAILURE that a lost worker left."""

STORED = tuple(RANK)
FINISHED = frozenset({REVOKED, FAILURE, DEAD, SUCCESS})
