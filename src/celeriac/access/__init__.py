"""Who may do what, and who did what: users, roles, sessions, tokens and the audit trail.

It lives in the history's database, beside the runs and apart from them. `web` and `cli` ask here.
"""

from datetime import timedelta
from typing import Self

from celeriac.access.audit import AuditFilter, AuditPage, AuditTrail, Entry
from celeriac.access.identity import LOCAL, Identity, Means
from celeriac.access.links import Links
from celeriac.access.logins import Login, Logins
from celeriac.access.provided import ProvidedUsers
from celeriac.access.roles import Role
from celeriac.access.scope import Scope
from celeriac.access.sessions import Session, Sessions
from celeriac.access.tokens import Token, TokenOrder, Tokens
from celeriac.access.users import User, Users
from celeriac.history.database import Database
from celeriac.history.migrating import migrate
from celeriac.settings import Settings

__all__ = [
    "LOCAL",
    "Access",
    "AuditFilter",
    "AuditPage",
    "AuditTrail",
    "Entry",
    "Identity",
    "Links",
    "Login",
    "Logins",
    "Means",
    "Role",
    "Scope",
    "Session",
    "Sessions",
    "Token",
    "TokenOrder",
    "Tokens",
    "User",
    "Users",
]


class Access:
    """All of it, by the parts that know how; threads may share it.

    Raises:
        ConfigurationError: the address of the history is wrong.
    """

    def __init__(
        self,
        url: str,
        *,
        idle: timedelta = timedelta(hours=12),
        longest: timedelta = timedelta(days=7),
        wait_s: float = 5,
    ) -> None:
        self._database = Database(url, wait_s)
        self.users = Users(self._database)
        self.provided = ProvidedUsers(self._database)
        self.sessions = Sessions(self._database, idle, longest)
        self.tokens = Tokens(self._database)
        self.links = Links(self._database)
        self.logins = Logins(self._database)
        self.audit = AuditTrail(self._database)

    @classmethod
    def of(cls, settings: Settings, *, wait_s: float = 5) -> Self:
        """Build it from the settings; connects to nothing yet.

        Raises:
            ConfigurationError: the address of the history is wrong.
        """
        return cls(
            settings.history_address,
            idle=timedelta(seconds=settings.session_idle_s),
            longest=timedelta(seconds=settings.session_longest_s),
            wait_s=wait_s,
        )

    def ping(self) -> None:
        """Ask the database whether anybody could sign in.

        Raises:
            HistoryUnavailableError: it is away.
        """
        self._database.is_new()

    def prepare(self) -> None:
        """Make or update the tables; quick when there is nothing to do, safe in any process.

        Raises:
            ConfigurationError: the file cannot be made, or a newer version made the tables.
            HistoryUnavailableError: the database is away or locked.
        """
        migrate(self._database)

    def close(self) -> None:
        """Close all connections; using it again opens new ones."""
        self._database.close()
