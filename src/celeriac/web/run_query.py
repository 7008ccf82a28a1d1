"""The runs that a request's query string asks for."""

from flask import request

from celeriac.runs import RunFilter, run_filter


def requested_runs() -> RunFilter:
    """Read the query string.

    Raises:
        InvalidInputError: a value makes no sense.
    """
    return run_filter(request.args.to_dict(flat=False))
