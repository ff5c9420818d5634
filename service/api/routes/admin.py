"""What steers a running service. Served by the admin listener only."""

import asyncio
import logging

from fastapi import APIRouter
from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.types import Message, Receive, Scope, Send

from service.api.dependencies import ServicesDep
from service.api.errors import request_id_of
from service.api.guard import PRINCIPAL, Principal
from service.api.guarded_route import GuardedRoute, requires
from service.api.lifespan import follow
from service.api.warmup import warm_version

_audit = logging.getLogger("magpie.audit")


class AuditedRoute(GuardedRoute):
    """Writes one line for every attempt, who made it, and how it ended."""

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, and write it down."""
        outcome = "failed"

        async def send_noted(message: Message) -> None:
            nonlocal outcome
            if message["type"] == "http.response.start":
                outcome = str(message["status"])
            await send(message)

        try:
            await super().handle(scope, receive, send_noted)
        except Exception as error:
            outcome = f"refused: {getattr(error, 'code', 'failed')}"
            raise
        finally:
            _audit.info(
                "%s %s by %s: %s, request %s",
                scope["method"],
                self.path,
                _named(scope[PRINCIPAL]),
                outcome,
                scope["magpie.request_id"],
            )


router = APIRouter(route_class=AuditedRoute, tags=["admin"])


class ReloadAnswer(BaseModel):
    """What is served after a look at what is published."""

    request_id: str
    index: str = Field(description="The version that answers now.")
    is_new: bool = Field(description="Whether this look took it over.")
    last_refusal: str | None = Field(description="Why the last published version is not served.")
    keys: int | None = Field(description="Valid keys; null where the service has none.")


@router.post("/admin/reload", summary="Look for a new index version and for changed keys, now")
@requires("admin")
async def reload(request: Request, services: ServicesDep) -> ReloadAnswer:
    """What this process would find by itself within a second. Doing it twice does no harm.

    Other processes of the service look by themselves.
    """
    keyring = services.guard.keyring
    if keyring is not None:
        await asyncio.to_thread(keyring.refresh)
    is_new = await follow(services, warm_version)
    return ReloadAnswer(
        request_id=request_id_of(request),
        index=services.live.current.snapshot.name,
        is_new=is_new,
        last_refusal=services.live.last_error,
        keys=None if keyring is None else len(keyring),
    )


def _named(principal: Principal) -> str:
    key = principal.key
    return (
        f"nobody ({principal.why_not})"
        if key is None and principal.scope is None
        else ("this machine" if key is None else f"key {key.id} ({key.name})")
    )
