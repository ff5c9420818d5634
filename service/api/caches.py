"""The caches of a process, as the settings want them."""

import asyncio
import logging

from service.cache.lifetimes import Lifetimes
from service.cache.local import LocalCache
from service.cache.redis import RedisCache
from service.cache.tiers import TieredCache
from service.cache.worth import Worth
from service.settings import Settings

_log = logging.getLogger(__name__)

# Answers to wrong ids may push out each other, never the answers to right ones.
_NEGATIVE_SHARE = 16
_LOOK_EVERY_S = 5.0


def open_cache(settings: Settings) -> TieredCache:
    """Build both tiers; Redis is connected at the first use.

    Raises:
        InvalidSettings: the Redis URL cannot be used.
    """
    redis = None
    if settings.redis_url is not None:
        redis = RedisCache.open(
            settings.redis_url.get_secret_value(), max_server_bytes=settings.redis_bytes
        )
    negative_bytes = settings.cache_bytes // _NEGATIVE_SHARE
    return TieredCache(
        LocalCache(max_bytes=settings.cache_bytes - negative_bytes, ttl_s=settings.cache_ttl_s),
        redis,
        negatives=LocalCache(max_bytes=negative_bytes, ttl_s=settings.cache_negative_ttl_s),
        lifetimes=Lifetimes(settings.cache_ttl_s),
        worth=Worth(settings.redis_min_cost_ms / 1e3),
    )


async def watch_room(redis: RedisCache) -> None:
    """Look again and again at how full Redis is; say once what an operator should mend."""
    told: str | None = None
    is_told_blind = False
    while True:
        failure = await redis.look_at_room()
        concern = None if redis.room is None else redis.room.concern
        if concern is not None and concern != told:
            _log.warning("%s", concern)
        told = concern
        if failure == "auth" and redis.room is None and not is_told_blind:
            _log.warning(
                "Redis does not tell its limits (allow INFO): see that it has a maxmemory and "
                "maxmemory-policy allkeys-lfu."
            )
            is_told_blind = True
        await asyncio.sleep(_LOOK_EVERY_S)
