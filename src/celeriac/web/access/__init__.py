"""Who may do what in the web: signing in, what each endpoint asks for, and the audit trail.

- `permissions`: what every endpoint asks for, in one table.
- `gate`: finds out who asks, and refuses; `watching`: ends streams of those who may no longer.
- `reach`: whether a request is within the tasks and queues that somebody is limited to.
- `recording`: writes down what was changed, for all endpoints alike.
- `ready`: what has to be there before anybody can sign in.
- `cookie`: what a browser holds.
- `limiting`: refuses those who ask too often; `rates`: counts that, in all web processes together.
- `signing`, `single_sign_on`, `account`, `logins`, `admin`, `me`: the pages, and some calls of the
  API.
"""

from celeriac.web.access import logins, me, single_sign_on
from celeriac.web.access.account import account
from celeriac.web.access.admin import admin
from celeriac.web.access.gate import install
from celeriac.web.access.limiting import prepare
from celeriac.web.access.signing import signing

__all__ = ["BLUEPRINTS", "install", "logins", "me", "prepare", "single_sign_on"]

BLUEPRINTS = (signing, account, admin)
