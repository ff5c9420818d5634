"""The application, as a plain list of what is installed."""

from fastapi import FastAPI

from service import __version__
from service.api import errors
from service.api.express import Express
from service.api.front import Front
from service.api.guard import Guard
from service.api.guarded_route import guarded
from service.api.lifespan import lifespan
from service.api.metrics import Metrics
from service.api.openapi import document
from service.api.readiness import Readiness
from service.api.routes import contract, explorer, health, items, recommend
from service.index.live import Live
from service.settings import Settings


def create_app(
    settings: Settings | None = None,
    live: Live | None = None,
    *,
    readiness: Readiness | None = None,
    metrics: Metrics | None = None,
) -> Front:
    """Build the ASGI application; nothing is opened until its lifespan begins.

    Args:
        settings: what to serve and how; read from the environment when absent, so that
            `uvicorn --factory service.api.app:create_app` works.
        live: an index that is open already; the lifespan opens it when absent.
        readiness: what the server around the application knows; of its own when absent.
        metrics: where the server around it counts, too; of its own when absent.

    Raises:
        InvalidSettings: as `Guard.of`.
    """
    settings = settings or Settings.from_environment()
    guard = Guard.of(settings)
    app = FastAPI(
        title="Magpie",
        version=__version__,
        description="Recommendations from open Chinese embedding models.",
        lifespan=lifespan,
        # Their pages load scripts from elsewhere; the document itself is a route of ours.
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        # A redirect names the Host that the caller gave.
        redirect_slashes=False,
    )
    app.state.settings = settings
    app.state.guard = guard
    app.state.live = live
    app.state.metrics = metrics or Metrics()
    app.state.readiness = readiness or Readiness()
    errors.install(app)
    app.include_router(recommend.router)
    # After it: an item's id may hold slashes, and `/items/{id}/similar` is no item.
    app.include_router(items.router)
    app.include_router(health.router)
    app.include_router(explorer.router)
    app.include_router(contract.router)
    routes = guarded(app.routes)
    app.openapi = lambda: document(app)  # type: ignore[method-assign]
    # Around everything, the framework's own error handling included: see there.
    return Front(Express(app, routes), app.state.metrics, guard)
