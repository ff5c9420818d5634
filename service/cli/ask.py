"""`magpie recommend`: ask a running service, or a local index, and read the answer."""

import urllib.error
import urllib.request
from typing import Annotated, TypedDict

import orjson
import typer
from rich.table import Table
from rich.text import Text

from service.cli.console import err, out
from service.errors import InvalidQuery, MagpieError
from service.settings import Settings

_TIMEOUT_S = 10.0
_TEXT_WIDTH = 60


class _Because(TypedDict, total=False):
    id: str
    text: bool
    share: float


class _Item(TypedDict, total=False):
    id: str
    score: float
    fields: dict[str, object]
    because: list[_Because]


class _Answer(TypedDict):
    items: list[_Item]
    index: str
    model: str
    source: str
    missing: list[str]
    degraded: list[str]


class _ServiceRefused(MagpieError):
    """The running service answered with a problem, or did not answer."""

    code = "service_refused"


def recommend(
    like: Annotated[list[str] | None, typer.Argument(help="Ids of items to start from.")] = None,
    text: Annotated[str | None, typer.Option("--text", "-t", help="What to look for.")] = None,
    dislike: Annotated[list[str] | None, typer.Option(help="Id to move away from.")] = None,
    k: Annotated[int, typer.Option("--k", "-k", help="How many items.")] = 10,
    diversity: Annotated[float, typer.Option(help="0 pure relevance, 1 pure difference.")] = 0.0,
    where: Annotated[
        list[str] | None, typer.Option(help="Filter KEY=VALUE; several must all hold.")
    ] = None,
    url: Annotated[
        str | None, typer.Option(help="A running service; your own port 8000 when absent.")
    ] = None,
    local: Annotated[bool, typer.Option("--local", help="Open the index here instead.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the answer as JSON.")] = False,
) -> None:
    """Ask a running service (or, with --local, the published index) and print a table."""
    body = {
        "like": like or [],
        "dislike": dislike or [],
        "text": text,
        "k": k,
        "diversity": diversity,
        "explain": True,
        "filter": {"must": [_condition(each) for each in where or []]},
    }
    sent = orjson.dumps(body)
    settings = Settings.from_environment()
    answer = _ask_here(sent, settings) if local else _ask_service(sent, settings, url)
    if as_json:
        out.print_json(answer.decode())
    else:
        _show(orjson.loads(answer))


def _condition(text: str) -> dict[str, object]:
    key, equals, value = text.partition("=")
    if not equals or not key or not value:
        raise InvalidQuery(
            f"--where {text} is not KEY=VALUE.", "For example: --where category=baking"
        )
    values: list[object] = [value]
    if value.lstrip("-").isdecimal():
        values.append(int(value))
    if value in ("true", "false"):
        values.append(value == "true")
    return {"key": key, "match": {"any": values}}


def _ask_service(body: bytes, settings: Settings, url: str | None) -> bytes:
    base = url or f"http://127.0.0.1:{settings.port}"
    if not base.startswith(("http://", "https://")):
        raise InvalidQuery("--url must begin with http:// or https://.")
    request = urllib.request.Request(
        base.rstrip("/") + "/recommend", body, {"content-type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as response:
            return bytes(response.read())
    except urllib.error.HTTPError as error:
        raise _ServiceRefused(_problem_of(error)) from None
    except OSError as error:
        raise _ServiceRefused(
            f"No service answers at {base}: {error}.",
            "Start one with `magpie serve`, or ask the index directly with --local.",
        ) from None


def _problem_of(error: urllib.error.HTTPError) -> str:
    try:
        problem = orjson.loads(error.read())
        details = "; ".join(
            f"{each['where']}: {each['what']}" for each in problem.get("errors", [])
        )
        return f"{problem['detail']} {details}".strip()
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return f"The service answered with status {error.code}."


def _ask_here(body: bytes, settings: Settings) -> bytes:
    from service.api.lifespan import open_live
    from service.api.render import compose, render
    from service.api.schemas import RecommendRequest
    from service.recommend.engine import recommend as recommend_locally

    query = RecommendRequest.model_validate_json(body).to_query()
    with err.status("opening the index"):
        serving = open_live(settings).current
    vector = None if query.text is None else serving.encoder.encode_queries([query.text])[0]
    found = recommend_locally(query, serving.shelf, vector)
    return compose(render(query, found, serving.shelf, None), b"local", None)[0]


def _show(answer: _Answer) -> None:
    table = Table(caption=f"{answer['source']} · {answer['index']} · {answer['model']}")
    table.add_column("", justify="right")
    for heading in ("id", "score", "what", "because of"):
        table.add_column(heading, overflow="fold")
    for rank, item in enumerate(answer["items"], start=1):
        score = "" if answer["source"] == "fallback" else f"{item['score']:.3f}"
        because = ", ".join(map(_reason, item.get("because", [])))
        # Text, not markup: a title may hold square brackets.
        row = (item["id"], score, _headline(item["fields"]), because)
        table.add_row(str(rank), *(Text(cell) for cell in row))
    out.print(table)
    if answer["missing"]:
        err.print("unknown ids, skipped:", ", ".join(answer["missing"]), markup=False)
    if answer["degraded"]:
        err.print("less than asked:", ", ".join(answer["degraded"]), markup=False)


def _reason(because: _Because) -> str:
    return f"{because.get('id', 'the text')} {because['share']:.0%}"


def _headline(fields: dict[str, object]) -> str:
    for key in ("title", "name", "text"):
        value = fields.get(key)
        if isinstance(value, str):
            return value if len(value) <= _TEXT_WIDTH else value[: _TEXT_WIDTH - 1] + "…"
    return next((value for value in fields.values() if isinstance(value, str)), "")[:_TEXT_WIDTH]
