"""Connections that arrive while a turn of the event loop takes long are accepted soon after it."""

import asyncio
import os
import socket

import pytest
import uvloop

from service.server.server import doubles, listen

ARRIVED, TURNS = 32, 6


async def accepted_in_some_turns(listeners: list[socket.socket]) -> int:
    """Let clients connect while the loop stands still, then let it turn; how many were accepted."""
    loop = asyncio.get_running_loop()
    accepted: list[asyncio.BaseTransport] = []

    class Client(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            accepted.append(transport)

    servers = [await loop.create_server(Client, sock=each) for each in listeners]
    address = listeners[0].getsockname()
    clients = [socket.create_connection(address) for _ in range(ARRIVED)]
    for _ in range(TURNS):
        await asyncio.sleep(0)
    found = len(accepted)
    for transport in accepted:
        transport.close()
    for client in clients:
        client.close()
    for server in servers:
        server.close()
    return found


@pytest.mark.parametrize("is_doubled", [True, False])
def test_several_connections_are_accepted_in_a_turn(is_doubled: bool) -> None:
    """With one handle uvloop accepts one in a turn: the reason for the others."""
    listener = listen("127.0.0.1", 0)
    others = doubles(listener) if is_doubled else []
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        found = runner.run(accepted_in_some_turns([listener, *others]))
    for each in (listener, *others):
        each.close()
    assert (found == ARRIVED) == is_doubled


def test_a_listener_and_its_doubles_never_wait_for_a_connection() -> None:
    """Workers share it: whoever comes too late must not stand still until the next one."""
    listener = listen("127.0.0.1", 0)
    # As a worker gets it, which does not know how it was set.
    handed = socket.socket(fileno=os.dup(listener.fileno()))
    for each in (*doubles(handed), handed, listener):
        assert not os.get_blocking(each.fileno())
        each.close()
