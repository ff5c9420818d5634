"""The explorer page in a real Chromium, in front of the real service with a real small index."""

import json
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from playwright.sync_api import Browser, Page, sync_playwright

from service.access.key_file import KeyFile
from service.access.keys import new_key
from service.api.app import create_app
from service.index.publish import publish
from service.pipelines.build_index import build
from service.pipelines.quickstart import SAMPLE_COLUMNS
from service.settings import Settings

CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
]
# Still, so that a click need not wait for a card to land.
DESKTOP = {"viewport": {"width": 1280, "height": 860}, "reduced_motion": "reduce"}
NOW = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
EVERY_NTH_PIN = 4
EDITIONS = [1, 2, 3, "open"]
# Last in the file, so first on the page.
HOSTILE_PIN = {
    "id": "pin-<b>&'\"/hostile",
    "title": "<img src=x onerror=alert(1)>",
    "description": "<script>alert(2)</script> plain words",
    "category": "baking",
    "tags": ['"><svg onload=alert(3)>'],
    "board": "{{alert(4)}}",
    "image_url": "javascript:alert(5)",
}


@dataclass
class Visit:
    """A page, with everything it asked for and everything it complained about."""

    page: Page
    origin: str
    requested: list[str] = field(default_factory=list)
    queries: list[dict[str, Any]] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    may_complain: bool = False

    def open(self, fragment: str = "") -> Page:
        """Go to a view of the explorer and wait until it stands still."""
        self.page.goto(f"{self.origin}/{fragment}")
        self.settle()
        return self.page

    def settle(self) -> None:
        """Wait until the list on the page answers the latest question."""
        self.page.wait_for_selector('#wall[aria-busy="false"]', state="attached")

    def after(self, act: Callable[[], object]) -> dict[str, Any]:
        """Do something that asks the service; returns the last query once it is answered."""
        with self.page.expect_response("**/recommend"):
            act()
        self.settle()
        return self.queries[-1]

    def ids(self) -> list[str]:
        """Ids of the pins on the wall, in order."""
        found = self.page.eval_on_selector_all(".card", "cards => cards.map(c => c.dataset.id)")
        return [str(each) for each in found]


@pytest.fixture(scope="session")
def hostile_pin() -> dict[str, Any]:
    """The pin that tries to be markup, as it stands in the catalogue."""
    return HOSTILE_PIN


@pytest.fixture(scope="session")
def few_pins(tmp_path_factory: pytest.TempPathFactory, pins_path: Path) -> Path:
    """A quarter of the sample pins and one that tries to be markup, with every kind of value."""
    lines = pins_path.read_text(encoding="utf-8").splitlines()[::EVERY_NTH_PIN]
    pins = [
        {**json.loads(line), "handmade": place % 3 == 0, "edition": EDITIONS[place % 4]}
        for place, line in enumerate(lines)
    ]
    path = tmp_path_factory.mktemp("catalogue") / "pins.jsonl"
    every = [json.dumps(pin, ensure_ascii=False) for pin in [*pins, HOSTILE_PIN]]
    path.write_text("\n".join(every) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def few_indexes(tmp_path_factory: pytest.TempPathFactory, few_pins: Path, toy_models: Path) -> Path:
    """An index of them."""
    indexes = tmp_path_factory.mktemp("indexes")
    version = build(
        few_pins,
        SAMPLE_COLUMNS,
        name="pins",
        models=toy_models,
        indexes=indexes,
        model_id="toy",
        now=NOW,
    ).version
    publish(indexes, "pins", version, now=NOW)
    return indexes


@pytest.fixture(scope="session")
def explorer_url(few_indexes: Path, toy_models: Path) -> Iterator[str]:
    """The address of a running service."""
    with served(Settings(models_dir=toy_models, indexes_dir=few_indexes)) as url:
        yield url


@pytest.fixture(scope="session")
def locked(
    few_indexes: Path, toy_models: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, str]]:
    """The address of a service that asks for keys, and a key that may read."""
    path = tmp_path_factory.mktemp("keys") / "keys.json"
    file = KeyFile.new()
    made, secret = new_key("visitor", "read", None, pepper=file.pepper, now=NOW)
    file.with_key(made).write(path)
    settings = Settings(models_dir=toy_models, indexes_dir=few_indexes, keys_file=path)
    with served(settings) as url:
        yield url, secret


@contextmanager
def served(settings: Settings) -> Iterator[str]:
    app = create_app(settings)
    config = uvicorn.Config(
        app, host="127.0.0.1", port=0, log_level="warning", loop="asyncio", ws="none"
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, name="explorer")
    thread.start()
    while not server.started:
        assert thread.is_alive(), "the service did not start"
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join()


# One browser per module: while it is open, playwright keeps an event loop running in this thread,
# and asynchronous tests elsewhere could not start theirs.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    executable = next(filter(None, map(shutil.which, CHROMIUM_NAMES)), None)
    if executable is None:
        pytest.skip("needs Chromium: install it with the system's package manager")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=executable, args=CHROMIUM_FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def visit_as(browser: Browser, explorer_url: str) -> Iterator[Callable[..., Visit]]:
    """Open a context with these options; afterwards it must have had nothing to complain about."""
    visits: list[Visit] = []

    def start(origin: str = explorer_url, **options: Any) -> Visit:
        context = browser.new_context(**{**DESKTOP, **options})
        visit = Visit(context.new_page(), origin)
        _listen(visit)
        visits.append(visit)
        return visit

    yield start
    for visit in visits:
        elsewhere = [url for url in visit.requested if not url.startswith(visit.origin + "/")]
        visit.page.context.close()
        assert elsewhere == []
        assert visit.may_complain or visit.complaints == []


@pytest.fixture
def visit(visit_as: Callable[..., Visit]) -> Visit:
    """A desktop visitor."""
    return visit_as()


def _listen(visit: Visit) -> None:
    page = visit.page
    page.set_default_timeout(10_000)

    def note_request(request: Any) -> None:
        visit.requested.append(request.url)
        if request.url.endswith("/recommend"):
            visit.queries.append(json.loads(request.post_data))

    def note_console(message: Any) -> None:
        if message.type in ("error", "warning"):
            visit.complaints.append(message.text)

    def note_dialog(dialog: Any) -> None:
        visit.complaints.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    page.on("request", note_request)
    page.on("console", note_console)
    page.on("pageerror", lambda error: visit.complaints.append(str(error)))
    page.on("dialog", note_dialog)
