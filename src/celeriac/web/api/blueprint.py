"""What the API's modules share: the blueprint, the check of bodies, and answers."""

from flask import Response, request
from flask_openapi import APIBlueprint
from pydantic import BaseModel
from werkzeug.exceptions import BadRequest, UnsupportedMediaType

from celeriac.runs import json_of
from celeriac.web.api.parameters import refuse_unclear_query

JSON = "application/json"
NDJSON = "application/x-ndjson"

api = APIBlueprint("api", __name__, url_prefix="/api/v1")
api.before_request(refuse_unclear_query)


@api.before_request
def _only_json() -> None:
    """Refuse a body of another type (415) or one that is no JSON (400) before anything reads it."""
    if request.endpoint == "api.submit_batch":
        return  # It reads its body by itself, line by line.
    if request.content_length or request.headers.get("Transfer-Encoding"):
        if request.mimetype != JSON:
            raise UnsupportedMediaType(f"Send the body as {JSON}.")
        try:
            request.get_json()
        except BadRequest as error:
            reason = getattr(error.__cause__, "description", error.description)
            raise BadRequest(f"The body is no JSON. {reason}") from None


def answer(body: BaseModel, status: int = 200) -> Response:
    """Answer with a model as JSON."""
    return Response(json_of(body), status, mimetype=JSON)
