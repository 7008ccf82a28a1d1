"""What the API's modules share: the blueprint, the check of bodies, and answers."""

from flask import Response, request
from flask_openapi import APIBlueprint
from pydantic import BaseModel
from werkzeug.exceptions import BadRequest, UnsupportedMediaType

from celeriac.errors import FieldProblem, InvalidInputError
from celeriac.runs import json_of
from celeriac.web.api.parameters import refuse_unclear_query

JSON = "application/json"
NDJSON = "application/x-ndjson"

api = APIBlueprint("api", __name__, url_prefix="/api/v1")
api.before_request(refuse_unclear_query)


@api.before_request
def _only_json() -> None:
    """Refuse a body of another type (415), one that is no JSON (400) or no object (422).

    What reads it later would take a text for JSON once more, past all that was checked of it.
    """
    if request.endpoint == "api.submit_batch" or not _has_body():
        return  # A batch reads its body by itself, line by line.
    if request.mimetype != JSON:
        raise UnsupportedMediaType(f"Send the body as {JSON}.")
    try:
        body = request.get_json()
    except BadRequest as error:
        reason = getattr(error.__cause__, "description", error.description)
        raise BadRequest(f"The body is no JSON. {reason}") from None
    if not isinstance(body, dict | None):
        raise InvalidInputError([FieldProblem("", "The body is JSON, and no object.")])


def _has_body() -> bool:
    """Tell whether there is a body; HTTP/2 need not announce one."""
    if request.content_length or request.headers.get("Transfer-Encoding"):
        return True
    return request.is_json and bool(request.get_data())


def answer(body: BaseModel, status: int = 200) -> Response:
    """Answer with a model as JSON."""
    return Response(json_of(body), status, mimetype=JSON)
