"""Signing in by an OpenID provider: from what it says of somebody to a name and a role here."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from requests.adapters import BaseAdapter

from celeriac.access.errors import BadProviderAnswerError
from celeriac.access.provided import Person
from celeriac.access.provider import Claims, Client, Journey, Provider
from celeriac.access.roles import Role
from celeriac.access.users import checked_name
from celeriac.errors import ConfigurationError, InvalidInputError
from celeriac.setting_values import pairs_in
from celeriac.settings import Settings


@dataclass(frozen=True)
class Rules:
    """Which claims name somebody and their groups, and the role of each group.

    Without roles of groups the default role is for newcomers alone; later an administrator decides.
    """

    name_claim: str
    roles_claim: str
    roles: Mapping[str, Role]
    default: Role | None

    def person(self, issuer: str, claims: Claims) -> Person:
        """Read who it is.

        Raises:
            BadProviderAnswerError: there is no name, or none that can be one here.
        """
        given = sorted(self._roles(claims), key=lambda role: role.rank)
        role = given[-1] if given else self.default
        return Person(issuer, str(claims["sub"]), self._name(claims), role, bool(self.roles))

    def _name(self, claims: Claims) -> str:
        told = _found(claims, self.name_claim)
        if not isinstance(told, str):
            raise BadProviderAnswerError(
                f"It does not tell {self.name_claim!r}, which names people here "
                "(CELERIAC_OIDC_NAME_CLAIM, CELERIAC_OIDC_SCOPES)."
            )
        if self.name_claim == "email" and claims.get("email_verified") is False:
            raise BadProviderAnswerError(f"It does not know whether {told} is their address.")
        try:
            return checked_name(told)
        except InvalidInputError as error:
            detail = error.problems[0].detail
            raise BadProviderAnswerError(f"It calls them {told[:100]!r}. {detail}") from None

    def _roles(self, claims: Claims) -> list[Role]:
        told = _found(claims, self.roles_claim)
        groups = [told] if isinstance(told, str) else told if isinstance(told, list) else []
        return [self.roles[name] for name in groups if isinstance(name, str) and name in self.roles]


@dataclass(frozen=True)
class SingleSignOn:
    """A provider, and what its words mean here."""

    provider: Provider
    rules: Rules

    @classmethod
    def of(cls, settings: Settings, adapter: BaseAdapter | None = None) -> Self:
        """Build it from the settings; the provider is asked for nothing yet.

        Raises:
            ConfigurationError: there is no client, or nobody would have a role.
        """
        if not (settings.oidc_issuer and settings.oidc_client_id):
            raise ConfigurationError(
                "CELERIAC_OIDC_ISSUER and CELERIAC_OIDC_CLIENT_ID need each other: the provider "
                "gives an identifier to each program that people sign in to by it."
            )
        if not (settings.oidc_roles or settings.oidc_default_role):
            raise ConfigurationError(
                "Nobody could sign in by CELERIAC_OIDC_ISSUER: set CELERIAC_OIDC_ROLES, such as "
                "admins=admin,dev=operator, or CELERIAC_OIDC_DEFAULT_ROLE."
            )
        secret, default = settings.oidc_client_secret, settings.oidc_default_role
        text = secret.get_secret_value() if secret else None
        client = Client(settings.oidc_client_id, text, settings.oidc_scopes)
        rules = Rules(
            settings.oidc_name_claim,
            settings.oidc_roles_claim,
            {name: Role(word) for name, word in pairs_in(settings.oidc_roles or "")},
            Role(default) if default else None,
        )
        provider = Provider(settings.oidc_issuer, client, settings.oidc_timeout_s, adapter)
        return cls(provider, rules)

    def person(self, journey: Journey, code: str, back: str) -> Person:
        """Give who came back from the provider with this code.

        Raises:
            ProviderUnavailableError: it does not answer.
            BadProviderAnswerError: it does not take the code, or what it says does not hold.
        """
        # A claim in a claim is in whatever holds it.
        wanted = [self.rules.name_claim]
        if self.rules.roles:
            wanted.append(self.rules.roles_claim)
        outer = [name.partition(".")[0] for name in wanted]
        claims = self.provider.claims(journey, code, back, outer)
        return self.rules.person(self.provider.issuer, claims)


def _found(claims: Claims, name: str) -> Any:
    """Give a claim, also one in a claim (`realm_access.roles`)."""
    if name in claims:
        return claims[name]
    first, dot, rest = name.partition(".")
    inner = claims.get(first)
    return _found(inner, rest) if dot and isinstance(inner, Mapping) else None
