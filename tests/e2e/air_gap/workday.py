"""An operator's day: build, publish, serve, ask every route, stop. Prints what was answered.

Usage: workday.py MAGPIE SOURCE PORT, where MAGPIE is the command as a JSON array.
"""

import json
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

_PAGES = ("/", "/favicon.ico", "/openapi.json", "/nowhere")
_START_S = 60


def ask(url: str, method: str, body: bytes | None = None) -> tuple[int, bytes]:
    headers = {} if body is None else {"content-type": "application/json"}
    request = urllib.request.Request(url, body, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def is_ready(url: str) -> bool:
    try:
        return ask(url + "/readyz", "GET")[0] == 200
    except OSError:
        return False


def questions(url: str) -> Iterator[tuple[str, str, bytes | None]]:
    """A request for each route of the document, each example in it, and each part of the page."""
    yield from (("GET", path, None) for path in _PAGES)
    page = ask(url + "/", "GET")[1].decode()
    for path in re.findall(r'(?:src|href)="/?(web/[^"]+)"', page):
        yield "GET", f"/{path}", None
    document = json.loads(ask(url + "/openapi.json", "GET")[1])
    for template, methods in document["paths"].items():
        for method, operation in methods.items():
            yield from _of_route(document, template, method, operation)


def _of_route(
    document: dict[str, Any], template: str, method: str, operation: dict[str, Any]
) -> Iterator[tuple[str, str, bytes | None]]:
    path = re.sub(r"{[^}]*}", "pin-17", template)
    if method == "get":
        parameters = operation.get("parameters", [])
        needed = [p["name"] for p in parameters if p["in"] == "query" and p.get("required")]
        query = "&".join(f"{name}=balcony+garden" for name in needed)
        yield "GET", f"{path}?{query}" if query else path, None
    elif template == "/recommend":
        examples = document["components"]["schemas"]["RecommendRequest"]["examples"]
        for example in [*examples, {"text": "herbs", "k": 3}]:
            yield "POST", path, json.dumps(example).encode()
    else:
        yield method.upper(), path, b"{}"


def main() -> None:
    magpie, source, port = json.loads(sys.argv[1]), sys.argv[2], sys.argv[3]
    url = f"http://127.0.0.1:{port}"

    def run(*arguments: str) -> None:
        subprocess.run([*magpie, *arguments], check=True)

    text = "{title}. {description}"
    run("index", "build", source, "--name", "pins", "--text", text, "--publish")
    run("index", "verify", "pins")
    run("model", "list")
    serving = subprocess.Popen([*magpie, "serve", "pins", "--port", port])
    try:
        deadline = time.monotonic() + _START_S
        while not is_ready(url):
            assert serving.poll() is None, "the service ended"
            assert time.monotonic() < deadline, "the service did not start"
            time.sleep(0.1)
        asked = list(questions(url))
        answers = [(method, path, ask(url + path, method, body)[0]) for method, path, body in asked]
        run("recommend", "pin-17", "--url", url)
        run("doctor")
    finally:
        serving.send_signal(signal.SIGTERM)
        ended = serving.wait(timeout=30)
    sys.stdout.write(f"ANSWERS {json.dumps({'answers': answers, 'ended': ended})}\n")


if __name__ == "__main__":
    main()
