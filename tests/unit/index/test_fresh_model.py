"""Two services on one catalogue, changed in every way, against a dictionary of what should be."""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from pathlib import Path

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from service.artifacts import write_atomic
from service.catalogue.text import TextTemplate
from service.index.availability import is_shown
from service.index.change_log import ChangeLog
from service.index.changes import Delete, merge
from service.index.edits import edit_attributes, edit_items
from service.index.journal import Examined, append
from service.index.layout import CHANGES, CURRENT
from service.index.live import Live
from service.index.manifest import read_manifest
from service.index.pending import pending_changes
from service.index.shelf import Shelf
from service.index.snapshot import Provenance, write_snapshot
from service.index.tuning import build_faiss
from service.index.verification import fingerprint
from service.recommend.engine import recommend
from service.types import (
    Attributes,
    AttributeValue,
    Condition,
    Filter,
    Item,
    ItemId,
    Match,
    ModelIdentity,
    Query,
    Range,
    Seed,
    Share,
    Vector,
    Vectors,
)

DIM = 6
TEMPLATE = TextTemplate("{title}. {note}")
START = datetime(2026, 11, 23, tzinfo=UTC)
NO_VECTORS = np.empty((0, DIM), np.float32)
NAMES = [f"item-{number}" for number in range(12)]
QUERY = np.array([0.9, -0.3, 0.2, 0.5, -0.7, 0.1], dtype=np.float32)


@dataclass(frozen=True)
class HashEncoder:
    """Gives every text a direction of its own."""

    identity: ModelIdentity
    dim: int = DIM
    max_tokens: int = 16

    def encode_queries(self, texts: Sequence[str]) -> Vectors:
        return np.stack([vector_of(text) for text in texts])

    encode_items = encode_queries


MODEL = HashEncoder(ModelIdentity("hash", "0" * 40, "1" * 64))


def vector_of(text: str) -> Vector:
    seed = int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little")
    vector = np.random.default_rng(seed).standard_normal(DIM).astype(np.float32)
    return vector / np.linalg.norm(vector)


def make(item_id: ItemId, attributes: Attributes) -> Item:
    return Item(item_id, TEMPLATE.render(attributes), attributes)


def write(indexes: Path, items: list[Item], number: int, contained: int) -> str:
    vectors = np.stack([vector_of(item.text) for item in items])
    return write_snapshot(
        indexes,
        "shop",
        items=items,
        vectors=vectors,
        built=build_faiss(vectors, seed=0),
        provenance=Provenance(
            model=MODEL.identity,
            stand_in=True,
            template_pattern=TEMPLATE.pattern,
            template_sha256=TEMPLATE.sha256,
            source_name="shop.jsonl",
            source_sha256="0" * 64,
            rejects=0,
            seed=0,
            tools={},
            contained_changes=contained,
        ),
        created_at=START + timedelta(seconds=number),
    )


ATTRIBUTES = st.fixed_dictionaries(
    # Titles are often the same, so that a put often needs no encoding; prices are of both kinds.
    {"title": st.sampled_from(["rye", "oat", "wheat", "spelt"])},
    optional={
        "note": st.sampled_from(["dark", "light"]),
        "price": st.one_of(st.integers(1, 4), st.sampled_from(["free", "x" * 300])),
        "tags": st.lists(st.sampled_from(["new", "old"]), max_size=2),
        "hidden": st.booleans(),
        "available_until": st.one_of(
            st.integers(0, 20), st.just("1970-01-01T00:00:10"), st.just("1970-01-01")
        ),
    },
)
PATCH = st.dictionaries(
    st.sampled_from(["price", "note", "hidden", "available_until", "colour"]),
    st.sampled_from([None, 2, 3]),
    min_size=1,
).map(lambda drawn: {k: (bool(v) if k == "hidden" and v else v) for k, v in drawn.items()})


Passes = Callable[[Attributes], bool]


def _number(attributes: Attributes, key: str) -> float:
    value = attributes.get(key)
    return value if isinstance(value, int | float) else float("nan")


FILTERS: list[tuple[Filter, Passes]] = [
    (Filter(), lambda each: True),
    (Filter(must=(Match("tags", ("new",)),)), lambda each: "new" in (each.get("tags") or [])),  # type: ignore[operator]
    (Filter(must=(Range("price", gte=2),)), lambda each: _number(each, "price") >= 2),
    (Filter(must=(Match("price", ("free", 3)),)), lambda each: each.get("price") in ("free", 3)),
    (Filter(must=(Match("colour", (2,)),)), lambda each: each.get("colour") == 2),
]


class Shop(RuleBasedStateMachine):
    """`expected` is the catalogue as it should be: id -> attributes, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.indexes = Path(self.folder.name)
        self.now = 0.0
        self.builds = 0
        self.versions: list[str] = []

    def teardown(self) -> None:
        self.folder.cleanup()

    @initialize(first=st.lists(ATTRIBUTES, min_size=1, max_size=6))
    def open(self, first: list[dict[str, AttributeValue]]) -> None:
        self.expected = {NAMES[number]: each for number, each in enumerate(first)}
        self.build_and_publish()
        self.lives = [self.open_live(), self.open_live()]

    def open_live(self) -> Live:
        return Live(self.indexes, "shop", lambda identity: MODEL, clock=lambda: self.now)

    def build_and_publish(self) -> None:
        """Rebuild from what is served and the changes since, as the pipeline does."""
        items = [make(ItemId(name), each) for name, each in self.expected.items()]
        contained = 0
        if self.builds:
            pending = pending_changes(self.indexes, "shop")
            table = self.lives[0].current.snapshot.table
            base = [table.item(row) for row in range(len(table))]
            items = merge(base, pending.changes, make)
            contained = pending.through
        self.builds += 1
        version = write(self.indexes, items, self.builds, contained)
        self.versions.append(version)
        folder = self.indexes / "shop" / version
        examined = Examined(seal=read_manifest(folder).seal, files=fingerprint(folder))
        append(folder.parent, "publish", None, version, START, examined=examined)
        self.serve(version)

    def serve(self, version: str) -> None:
        """Move the pointer as a publication does, without the gates, which are tested elsewhere."""
        write_atomic(self.indexes / "shop" / CURRENT, version.encode() + b"\n")

    @rule(
        given=st.dictionaries(st.sampled_from(NAMES), ATTRIBUTES, min_size=1, max_size=3),
        worker=st.integers(0, 1),
    )
    def put(self, given: dict[str, dict[str, AttributeValue]], worker: int) -> None:
        live = self.lives[worker]
        edits = edit_items(list(given.items()), live.current.shelf)
        vectors = MODEL.encode_items(edits.texts) if edits.texts else NO_VECTORS
        accepted = live.commit(edits.changes(vectors))
        assert accepted.created == len(given.keys() - self.expected.keys())
        self.expected |= given

    @precondition(lambda self: self.expected)
    @rule(data=st.data(), changes=PATCH, worker=st.integers(0, 1))
    def patch(self, data: st.DataObject, changes: dict[str, AttributeValue], worker: int) -> None:
        live = self.lives[worker]
        live.catch_up()
        name = data.draw(st.sampled_from(list(self.expected)))
        changes = {k: "dark" if k == "note" and v else v for k, v in changes.items()}
        edits = edit_attributes(ItemId(name), changes, live.current.shelf)
        vectors = MODEL.encode_items(edits.texts) if edits.texts else NO_VECTORS
        live.commit(edits.changes(vectors))
        merged = {**self.expected[name], **changes}
        self.expected[name] = {k: v for k, v in merged.items() if v is not None}

    # A version cannot be built of nothing.
    @precondition(lambda self: len(self.expected) > 1)
    @rule(data=st.data(), worker=st.integers(0, 1))
    def delete(self, data: st.DataObject, worker: int) -> None:
        name = data.draw(st.sampled_from(list(self.expected)))
        self.lives[worker].commit([Delete(0, ItemId(name))])
        del self.expected[name]

    @rule(worker=st.integers(0, 1))
    def restart(self, worker: int) -> None:
        self.lives[worker] = self.open_live()

    @rule()
    def compact(self) -> None:
        log = ChangeLog(self.indexes / "shop")
        with log.writing():
            log.compact()

    @rule()
    def drop_contained(self) -> None:
        ChangeLog(self.indexes / "shop").drop_contained()

    @rule()
    def tear_the_end(self) -> None:
        for file in (self.indexes / "shop" / CHANGES).glob("*.log"):
            with file.open("ab") as end:
                end.write(b"MGC1 half a frame")

    @rule(first=st.integers(0, 1))
    def publish_a_rebuild(self, first: int) -> None:
        for live in self.lives:
            live.catch_up()
        self.build_and_publish()
        assert self.lives[first].refresh()

    @rule(data=st.data())
    def roll_back(self, data: st.DataObject) -> None:
        self.serve(data.draw(st.sampled_from(self.versions)))

    @rule(seconds=st.integers(1, 6))
    def time_passes(self, seconds: int) -> None:
        self.now += seconds

    @invariant()
    def both_services_answer_as_one_built_of_it_all(self) -> None:
        if not hasattr(self, "lives"):
            return
        for live in self.lives:
            live.refresh()
            live.catch_up()
            assert live.last_error is None
            self.compare(live.current.shelf)

    def compare(self, shelf: Shelf) -> None:
        shown = {
            name: attributes
            for name, attributes in self.expected.items()
            if is_shown(attributes, self.now)
        }
        newest = recommend(Query(k=50, near_duplicates=True), shelf, None)
        assert [shelf.id(each.row) for each in newest.items] == list(shown)[::-1]
        for name in NAMES:
            row = shelf.row(ItemId(name))
            assert (row is None) == (name not in self.expected)
            if row is not None:
                assert shelf.attributes(row) == self.expected[name]
                assert shelf.item(row).text == TEMPLATE.render(self.expected[name])
        for filter_, passes in FILTERS:
            self.compare_search(shelf, shown, filter_, passes)
        for name in list(self.expected)[:2] + list(self.expected)[-2:]:
            self.compare_seed(shelf, shown, name)

    def compare_seed(self, shelf: Shelf, shown: Mapping[str, Attributes], name: str) -> None:
        like = (Seed(ItemId(name)),)
        query = Query(like=like, k=3, explain=True, near_duplicates=True)
        found = recommend(query, shelf, None)
        assert not found.missing
        assert all(each.because in ((), (Share(ItemId(name), 1.0),)) for each in found.items)
        own = vector_of(TEMPLATE.render(self.expected[name]))
        others = [TEMPLATE.render(each) for other, each in shown.items() if other != name]
        best = sorted((float(own @ vector_of(text)) for text in others), reverse=True)[:3]
        np.testing.assert_allclose([each.score for each in found.items], best, atol=1e-5)

    def can_be_asked(self, condition: Condition, shelf: Shelf) -> bool:
        column = shelf.columns.get(condition.key)
        values = [each[condition.key] for each in self.expected.values() if condition.key in each]
        if isinstance(condition, Range):
            can = column is not None and column.numbers is not None
            assert can or not any(isinstance(value, int) for value in values)
        else:
            can = column is not None and column.kind != "text"
            assert can or all(isinstance(value, str) and len(value) > 256 for value in values)
        return can

    def compare_search(
        self, shelf: Shelf, shown: Mapping[str, Attributes], filter_: Filter, passes: Passes
    ) -> None:
        if not all(self.can_be_asked(each, shelf) for each in filter_.must):
            return
        texts = {name: TEMPLATE.render(each) for name, each in shown.items() if passes(each)}
        for k in (1, 3, 50):
            for diversity in (0.0, 0.4):
                query = Query(
                    text="rye",
                    k=k,
                    filter=filter_,
                    diversity=diversity,
                    near_duplicates=True,
                    explain=True,
                )
                found = recommend(query, shelf, QUERY)
                names = [shelf.id(each.row) for each in found.items]
                assert len(set(names)) == len(names) == min(k, len(texts))
                assert set(names) <= texts.keys()
                # Items of one text are level, so it is the scores that have to be the best.
                scores = [float(QUERY @ vector_of(texts[name])) for name in names]
                best = sorted(float(QUERY @ vector_of(each)) for each in texts.values())[::-1]
                np.testing.assert_allclose([e.score for e in found.items], scores, atol=1e-5)
                if not diversity:
                    np.testing.assert_allclose(scores, best[:k], atol=1e-5)


TestShop = Shop.TestCase
TestShop.settings = settings(max_examples=15, stateful_step_count=25, deadline=None)
