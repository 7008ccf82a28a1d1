"""Who is not let in, and why; the web and the CLI translate these as all the others."""

import re
from typing import Final
from urllib.parse import urlsplit

from celeriac.errors import CeleriacError, TransientError

CODE: Final = re.compile(r"[a-z_]{1,40}")
"""What OAuth's words for errors look like."""


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


class ProviderUnavailableError(TransientError):
    """The provider that people sign in by does not answer."""

    code = "provider_unavailable"

    def __init__(self, issuer: str) -> None:
        host = urlsplit(issuer).netloc
        super().__init__(
            f"{host} does not answer, so nobody signs in by it for now. Try again shortly, or "
            "sign in with a password if you have one."
        )


class BadProviderAnswerError(CeleriacError):
    """What the provider answers does not hold, or does not suffice."""

    code = "provider_answer"

    def __init__(self, detail: str) -> None:
        super().__init__(
            f"The provider's answer is not accepted. {detail} If it happens again, tell an "
            "administrator."
        )


class ProviderRefusedError(CeleriacError):
    """The provider, or the person there, said no."""

    code = "provider_refused"

    def __init__(self, word: str) -> None:
        # The word comes with the address, so anybody may have written it there.
        said = word.replace("_", " ") if CODE.fullmatch(word) else "something went wrong"
        super().__init__(f"You are not signed in. The provider says: {said}.")


class SignInLostError(CeleriacError):
    """Somebody comes from the provider whom this browser did not send, or not lately."""

    code = "sign_in_lost"

    def __init__(self) -> None:
        super().__init__(
            "This sign-in was not begun in this browser, or too long ago, or it has ended already. "
            "Begin again here."
        )


class NoRoleError(CeleriacError):
    """The provider knows somebody, and nothing gives them a role here."""

    code = "no_role"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"The provider knows you as {name}, and none of your groups has a role here. "
            "Ask an administrator for one (CELERIAC_OIDC_ROLES)."
        )


class NameTakenError(CeleriacError):
    """The name that the provider gives somebody is another user's here."""

    code = "name_taken"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"The provider knows you as {name}, and another user has that name here. Nobody takes "
            "over what is theirs; ask an administrator."
        )


class UserDisabledError(CeleriacError):
    """The user is there, and may do nothing any more."""

    code = "user_disabled"

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} is disabled here. Ask an administrator.")


class LoginLostError(CeleriacError):
    """No command line waits with this code, or with this secret, any more."""

    code = "login_lost"

    def __init__(self) -> None:
        super().__init__(
            "No terminal waits for this: it was decided already, or took too long. "
            "Begin again: celeriac login"
        )


class LoginDeniedError(CeleriacError):
    """Somebody has refused a command line's login."""

    code = "login_denied"

    def __init__(self) -> None:
        super().__init__("The login was refused in the browser.")


class TooManyLoginsError(TransientError):
    """Too many command lines wait for somebody to approve them."""

    code = "too_many_logins"
    retry_after_s = 60

    def __init__(self) -> None:
        super().__init__("Too many logins wait for somebody to approve them. Try again shortly.")
