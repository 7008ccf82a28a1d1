"""Who is not let in, and why; the web and the CLI translate these as all the others."""

from celeriac.errors import CeleriacError, TransientError


class NotSignedInError(CeleriacError):
    """Nobody has shown who asks, and not everybody may."""

    code = "not_signed_in"

    def __init__(self) -> None:
        super().__init__(
            "Sign in first. A program sends a token: `Authorization: Bearer cel_...`; people make "
            "one on their account's page or by `celeriac tokens create`."
        )


class BadTokenError(NotSignedInError):
    """The token that came is none, or none any more."""

    code = "bad_token"

    def __init__(self) -> None:
        CeleriacError.__init__(
            self, "This token is not known, has expired or was revoked. Make a new one."
        )


class SignInError(CeleriacError):
    """Name and password do not belong together, or the user is disabled: not told which."""

    code = "sign_in_failed"

    def __init__(self) -> None:
        super().__init__("Name or password is wrong.")


class ForbiddenError(CeleriacError):
    """Whoever asks is known, and may not do this."""

    code = "forbidden"


class UnknownUserError(CeleriacError):
    """There is no user of this name."""

    code = "unknown_user"

    def __init__(self, name: str) -> None:
        super().__init__(f"There is no user named {name!r}.")


class UnknownTokenError(CeleriacError):
    """There is no token with this identifier."""

    code = "unknown_token"

    def __init__(self, token_id: str) -> None:
        super().__init__(f"There is no token {token_id!r}.")


class LastAdminError(CeleriacError):
    """Without this user nobody could manage users any more."""

    code = "last_admin"

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} is the only administrator left. Make somebody else one first.")


class LinkSpentError(CeleriacError):
    """The link was used, replaced, or is too old."""

    code = "link_spent"

    def __init__(self) -> None:
        super().__init__(
            "This link was used already, or is too old. Whoever has a shell where Celeriac runs "
            "makes another: celeriac users link NAME"
        )


class TooManyAttemptsError(TransientError):
    """Somebody tries to guess, or has forgotten; either has to wait."""

    code = "too_many_attempts"

    def __init__(self, retry_after_s: int) -> None:
        super().__init__(f"Too many attempts to sign in. Try again in {retry_after_s} seconds.")
        self.retry_after_s = retry_after_s


class TooManyRequestsError(TransientError):
    """Somebody, or a program that went wild, asks more often than anybody may."""

    code = "too_many_requests"

    def __init__(self, amount: int, window_s: int, retry_after_s: int) -> None:
        super().__init__(
            f"More than {amount} requests in {window_s} seconds (CELERIAC_RATE_LIMIT). "
            f"Try again in {retry_after_s} seconds."
        )
        self.retry_after_s = retry_after_s


class AuthenticationOffError(CeleriacError):
    """Nobody has to sign in here, so there is nothing to manage."""

    code = "authentication_off"

    def __init__(self) -> None:
        super().__init__(
            "Nobody has to sign in here: everybody on this machine may do everything. "
            "CELERIAC_AUTHENTICATION=on changes that."
        )
