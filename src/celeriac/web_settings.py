"""The settings that concern the web alone: who reaches it, who may do what, and how much."""

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings

from celeriac.addresses import FlowerUrl, IssuerUrl, PublicUrl
from celeriac.setting_values import OFF, BasicAuth, Rate, RoleName, RolesOfGroups

RATE_LIMIT = "6000/minute"


class WebSettings(BaseSettings):
    """A part of the settings; `celeriac.settings` reads all of them together."""

    max_body_bytes: int = Field(
        1_048_576, ge=1024, description="The largest body of an HTTP request, in bytes."
    )
    trusted_hosts: str | None = Field(
        None,
        description="Names by which people reach the web, separated by commas; `.example.com` is "
        "every name below it, `*` any. `CELERIAC_HOST` and the loopback names need no mention; "
        "unset, a web that listens on all addresses accepts any.",
    )
    trusted_proxies: int = Field(
        0,
        ge=0,
        le=10,
        description="How many reverse proxies in a row stand before the web. So many are believed "
        "about a client's address, scheme and host (`X-Forwarded-For`, `-Proto`, `-Host`); 0, "
        "nobody is.",
    )
    max_wait_s: int = Field(
        60, ge=0, le=3600, description="The longest `Prefer: wait=N` that is honoured, in seconds."
    )
    secret_key: SecretStr | None = Field(
        None,
        description="Signs cookies and form tokens. Unset, `celeriac up` makes one and keeps it "
        "in the data directory.",
    )
    authentication: bool = Field(
        False,
        description="Whether people and programs have to sign in. Without it the web listens on "
        "loopback addresses alone.",
    )
    metrics_token: SecretStr | None = Field(
        None,
        min_length=16,
        description="What Prometheus shows to read `/metrics`, and nothing else, where people have "
        "to sign in. Any user's token reads it, too.",
    )
    session_idle_s: int = Field(
        43_200,
        ge=60,
        description="How long a browser stays signed in that asks for nothing, in seconds.",
    )
    session_longest_s: int = Field(
        604_800, ge=60, description="How long a browser stays signed in at most, in seconds."
    )
    rate_limit: Rate | None = Field(
        None,
        description="How many requests each token, each person, and each address of those who "
        "have not signed in may make: `600/minute`, or `off`. All at one address may make ten "
        "times as many. Unset, `6000/minute` with authentication, and `off` without.",
    )
    oidc_issuer: IssuerUrl | None = Field(
        None,
        description="The OpenID provider that people may sign in by, such as "
        "`https://login.example.org/realms/work`. It sends them back to `/sign-in/provider/back`.",
    )
    oidc_client_id: str | None = Field(None, description="What the provider calls Celeriac.")
    oidc_client_secret: SecretStr | None = Field(
        None, description="What Celeriac shows the provider; unset, it is a public client."
    )
    oidc_scopes: str = Field(
        "openid profile email",
        pattern=r"(^|\s)openid(\s|$)",
        description="What the provider is asked for; some tell groups by a scope of their own.",
    )
    oidc_name_claim: str = Field(
        "preferred_username", description="The claim that is somebody's name here."
    )
    oidc_roles_claim: str = Field(
        "groups",
        description="The claim that lists somebody's groups; `realm_access.roles` is a claim in "
        "a claim.",
    )
    oidc_roles: RolesOfGroups | None = Field(
        None,
        description="The role of each group, such as `admins=admin,dev=operator`; the highest "
        "counts, at every sign-in. Unset, an administrator decides.",
    )
    oidc_default_role: RoleName | None = Field(
        None, description="The role of whom no group gives one. Unset, they are refused."
    )
    oidc_label: str = Field(
        "Sign in with single sign-on",
        min_length=1,
        max_length=60,
        description="What the button says that leads to the provider.",
    )
    oidc_timeout_s: float = Field(
        5, gt=0, le=60, description="How long each answer of the provider may take, in seconds."
    )
    public_url: PublicUrl | None = Field(
        None,
        description="Where people reach the web, such as `https://celeriac.example.org`; links "
        "that are printed lead there. With `https`, browsers send cookies over TLS alone, and "
        "for a year come by TLS alone.",
    )
    flower_url: FlowerUrl | None = Field(
        None,
        description="Where the web reaches the Flower that it shows at `/flower/`, such as "
        "`http://flower-host:5555`. Unset, it is this machine and `CELERIAC_FLOWER_PORT`.",
    )
    flower_basic_auth: BasicAuth = Field(
        None,
        description="What the web shows Flower, and Flower asks everybody for, as `USER:PASSWORD`; "
        "the same for both. Unset, `celeriac up` makes one and keeps it in the data directory.",
    )

    @property
    def is_public_over_tls(self) -> bool:
        """Tell whether people reach the web by `https`."""
        return (self.public_url or "").startswith("https://")

    @property
    def request_rate(self) -> str | None:
        """Give how many requests anybody may make, or None for any number."""
        if self.rate_limit is None:
            return RATE_LIMIT if self.authentication else None
        return None if self.rate_limit == OFF else self.rate_limit
