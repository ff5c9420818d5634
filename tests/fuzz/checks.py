"""Loaded by Schemathesis: checks of our own, and patience where a request has none."""

from typing import Any

import schemathesis
from schemathesis import Case, CheckContext, GenerationMode, HookContext, Response
from schemathesis.core.parameters import ParameterLocation

_TIMEOUT = "Request-Timeout-Ms"

# Refusals of the form itself, in contrast to those that only the catalogue can decide.
_OF_FORM = {"invalid_json", "invalid_request", "duplicate_key", "unsupported_media_type"}


@schemathesis.check
def documented_form_is_accepted(
    ctx: CheckContext, response: Response, case: Case[Any]
) -> bool | None:
    """No request that the document allows is refused for its form."""
    if case.meta is None or case.meta.generation.mode != GenerationMode.POSITIVE:
        return None
    if response.status_code in {400, 415, 422}:
        code = response.json()["code"]
        assert code not in _OF_FORM, f"a request as documented was refused: {response.text}"
    return None


@schemathesis.check
def refusals_have_one_form(ctx: CheckContext, response: Response, case: Case[Any]) -> bool | None:
    """Whatever is refused is a problem with a code and the request's id."""
    if response.status_code >= 400:
        problem = response.json()
        assert problem["status"] == response.status_code
        assert problem["code"]
        assert problem["request_id"] == response.headers["x-request-id"][0]
    return None


@schemathesis.check
def a_wrong_entry_of_a_batch_has_its_problem(
    ctx: CheckContext, response: Response, case: Case[Any]
) -> bool | None:
    """Every entry has an answer or a problem, and where the body is not as documented, some has."""
    if case.operation.label != "POST /recommend/batch" or response.status_code != 200:
        return None
    asked: Any = case.body
    answers = response.json()["answers"]
    assert len(answers) == len(asked["queries"])
    body = case.meta.components.get(ParameterLocation.BODY) if case.meta is not None else None
    if body is not None and body.mode == GenerationMode.NEGATIVE:
        assert any("problem" in each for each in answers), "a wrong entry was answered"
    return None


@schemathesis.hook
def before_call(context: HookContext, case: Case[Any], kwargs: dict[str, object]) -> None:
    """Give time to who has little: an answer within a millisecond would be a 504, as documented."""
    wanted = case.headers.get(_TIMEOUT) if case.headers else None
    if wanted is not None and str(wanted).isdecimal() and 0 < int(wanted) < 60_000:
        case.headers[_TIMEOUT] = "60000"
