"""The page of all runs: what the history holds, filtered and paged by the address alone.

`address` reads and writes addresses, `filter_bar` and `rows` are what the page shows, `changes`
tells an open page when to ask for its rows again, `actions` cancels and resubmits without scripts.
"""

from celeriac.web.run_list import actions, changes, page
from celeriac.web.run_list.blueprint import run_list

__all__ = ["actions", "changes", "page", "run_list"]
