"""Probes, facts and metrics for those who run the service."""

from http import HTTPStatus

from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.requests import Request
from starlette.responses import Response

from service import __version__
from service.api.dependencies import ServicesDep
from service.api.errors import problem, request_id_of
from service.api.examples import NOT_READY
from service.api.guarded_route import GuardedRoute, public, requires
from service.api.lifespan import update_figures
from service.api.schemas import K_MAX
from service.cache.tiers import CACHE_UNAVAILABLE

router = APIRouter(route_class=GuardedRoute, tags=["operate"])


@router.get("/livez", summary="Is the process alive?")
@public
async def livez() -> dict[str, str]:
    """Answers as long as the event loop turns; looks at nothing else."""
    return {"status": "live"}


@router.get(
    "/readyz",
    summary="May traffic come here?",
    response_model=dict[str, object],
    responses={503: NOT_READY},
)
@public
async def readyz(request: Request, services: ServicesDep) -> dict[str, object] | Response:
    """Ready once index and model are open and warm, until the process is told to end.

    A cache that is down degrades, it does not unready.
    """
    obstacles = services.readiness.obstacles()
    if obstacles:
        return problem(
            HTTPStatus.SERVICE_UNAVAILABLE,
            "not_ready",
            f"Not now: {', '.join(obstacles)}.",
            request_id_of(request),
        )
    redis = services.cache.redis
    degraded = [CACHE_UNAVAILABLE] if redis is not None and redis.breaker_state != "closed" else []
    return {
        "status": "ready",
        "access": services.guard.exposed,
        "index": services.live.current.snapshot.name,
        "degraded": degraded,
        "last_refusal": services.live.last_error,
    }


@router.get("/info", summary="Which index and model answer?")
@requires("read")
async def info(services: ServicesDep) -> dict[str, object]:
    """The served version, the model behind it, and what can be filtered."""
    serving = services.live.current
    snapshot, manifest = serving.snapshot, serving.snapshot.manifest
    return {
        "version": __version__,
        "access": services.guard.exposed,
        "index": {
            "name": snapshot.name,
            "catalogue": snapshot.catalogue,
            "version": snapshot.version,
            "created_at": manifest.created_at.isoformat(),
            "items": manifest.items,
            "dim": manifest.dim,
            "type": manifest.factory,
            "metric": manifest.metric,
            "recall_at_10": manifest.recall_at_10,
        },
        "model": {
            "name": str(manifest.model),
            "id": manifest.model.id,
            "revision": manifest.model.revision,
            "digest": manifest.model.digest,
            "stand_in": manifest.stand_in,
            "note": "stand-in, not a Chinese model" if manifest.stand_in else "",
        },
        "changes": {
            "sequence": serving.shelf.fresh.sequence,
            "fresh": len(serving.shelf.fresh.items),
            "fresh_max": services.settings.fresh_items_max,
            "writable": services.settings.writable,
        },
        "attributes": {
            key: {"kind": column.kind, "values": column.values, "top": column.top}
            for key, column in snapshot.table.columns.items()
        },
        "cache": {"redis": services.settings.redis_url is not None},
        "limits": {"k": K_MAX, "body_bytes": services.settings.max_body_bytes},
    }


@router.get(
    "/metrics",
    summary="Prometheus metrics",
    response_class=Response,
    responses={200: {"content": {CONTENT_TYPE_LATEST: {"schema": {"type": "string"}}}}},
)
@requires("read")
async def metrics(services: ServicesDep) -> Response:
    """The text exposition format; where several workers serve, of all of them together."""
    update_figures(services)
    return Response(services.metrics.exposition(), headers={"content-type": CONTENT_TYPE_LATEST})
