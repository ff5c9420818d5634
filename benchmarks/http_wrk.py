"""Closed-loop load with wrk: how many requests a second a server answers when never left idle."""

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from benchmarks.http_servers import Server

_LINES = 40_000
_SCRIPT = """
local requests, count, position = {}, 0, 0
function init(arguments)
  local headers = {["content-type"] = "application/json"}
  local first, most, number = tonumber(arguments[2]), tonumber(arguments[3]), 0
  for line in io.lines(arguments[1]) do
    number = number + 1
    if number > first and count < most then
      count = count + 1
      requests[count] = wrk.format("POST", "/recommend", headers, line)
    end
  end
end
function request()
  position = position % count + 1
  return requests[position]
end
function done(summary, latency, each)
  local e = summary.errors
  io.write(string.format(
    '\\n{"requests": %d, "us": %d, "failed": %d, "p50_us": %d, "p99_us": %d}\\n',
    summary.requests, summary.duration, e.connect + e.read + e.write + e.status + e.timeout,
    latency:percentile(50), latency:percentile(99)))
end
"""


@dataclass(frozen=True, slots=True)
class Rate:
    """What one run of wrk gave."""

    per_second: float
    p50_us: float
    p99_us: float
    requests: int


def wrk(
    server: Server, bodies: Path, offset: int, *, seconds: int, connections: int, cores: str
) -> Rate:
    """Send lines of a file as bodies of POST /recommend: at most 40,000, from an offset on.

    Raises:
        SystemExit: wrk is not installed, or a request failed.
    """
    binary = shutil.which("wrk")
    if binary is None:
        raise SystemExit("wrk is not installed: apt-get install wrk")
    script = bodies.with_name("wrk.lua")
    script.write_text(_SCRIPT, encoding="utf-8")
    command = ["taskset", "-c", cores, binary, "-t1", f"-c{connections}", f"-d{seconds}s"]
    command += ["-s", str(script), server.url("/"), "--", str(bodies), str(offset), str(_LINES)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout.strip().rpartition("\n")[2])
    if found["failed"]:
        raise SystemExit(f"{server.name}: {found['failed']} of {found['requests']} requests failed")
    rate = found["requests"] / found["us"] * 1e6
    return Rate(rate, found["p50_us"], found["p99_us"], found["requests"])
