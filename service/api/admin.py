"""The application of the admin listener: what steers the service, apart from what it serves."""

from fastapi import FastAPI

from service import __version__
from service.api import errors
from service.api.front import Front
from service.api.guard import Guard
from service.api.guarded_route import guarded
from service.api.metrics import Metrics
from service.api.openapi import document
from service.api.routes import admin, contract


def create_admin_app(guard: Guard, metrics: Metrics) -> Front:
    """Build it; what the public application opened comes with each request.

    Args:
        guard: of the public application: its keys hold here, too.
        metrics: where requests are counted.
    """
    app = FastAPI(
        title="Magpie admin",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
    )
    app.state.guard = guard.of_admin()
    app.state.metrics = metrics
    errors.install(app)
    app.include_router(admin.router)
    app.include_router(contract.router)
    guarded(app.routes)
    app.openapi = lambda: document(app)  # type: ignore[method-assign]
    return Front(app, metrics, app.state.guard)
