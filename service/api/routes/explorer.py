"""The explorer page, from the package's own files."""

from http import HTTPStatus
from importlib.resources import files

from fastapi import APIRouter
from starlette.exceptions import HTTPException
from starlette.responses import Response

from service.api.guarded_route import GuardedRoute, public

router = APIRouter(route_class=GuardedRoute, include_in_schema=False)

_MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
# Pictures may come from the catalogue's own hosts; everything else is ours or nothing.
_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; "
    "img-src 'self' https: data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def _read_pages() -> dict[str, tuple[bytes, str]]:
    found = {}
    for entry in files("service.api").joinpath("web").iterdir():
        media_type = _MEDIA_TYPES.get("." + entry.name.rpartition(".")[2])
        if media_type is not None:
            found[entry.name] = (entry.read_bytes(), media_type)
    return found


# Read once: the set of names is closed, so no request path ever becomes a file path.
_PAGES = _read_pages()


@router.get("/")
@public
async def index() -> Response:
    """The page itself."""
    return _page("index.html")


@router.get("/web/{name}")
@public
async def asset(name: str) -> Response:
    """A style sheet, script or picture of the page."""
    return _page(name)


@router.get("/favicon.ico")
@public
async def favicon() -> Response:
    """Browsers ask for it whatever the page says."""
    return _page("favicon.svg")


def _page(name: str) -> Response:
    if name not in _PAGES:
        raise HTTPException(HTTPStatus.NOT_FOUND)
    content, media_type = _PAGES[name]
    headers = {
        "content-type": media_type,
        "content-security-policy": _POLICY,
        "referrer-policy": "no-referrer",
        "cache-control": "no-cache",
    }
    return Response(content, headers=headers)
