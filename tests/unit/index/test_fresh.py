"""Fresh items beside a version: found, filtered, hidden, limited, never half there."""

import shutil
import threading
from collections.abc import Callable, Sequence
from dataclasses import FrozenInstanceError, dataclass, field
from pathlib import Path

import numpy as np
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.artifacts import sha256_bytes
from service.errors import (
    ChangesNotStored,
    CorruptArtifact,
    InvalidFilter,
    InvalidItem,
    ItemNotFound,
    TooManyChanges,
)
from service.index.changes import Change, Delete, Embedding, Patch, Put
from service.index.edits import edit_attributes, edit_items
from service.index.exact_index import ExactIndex
from service.index.fresh import FreshItems
from service.index.layout import CHANGES
from service.index.live import Live
from service.index.shelf import Shelf
from service.index.snapshot import Snapshot, open_snapshot
from service.types import AttributeValue, Filter, ItemId, Match, ModelIdentity, Range, Vectors

WriteVersion = Callable[..., str]
TEMPLATE = sha256_bytes(b"{title}")
DIM = 8
NO_VECTORS = np.empty((0, DIM), np.float32)


@dataclass
class CountingEncoder:
    """Encodes a text as the direction of its length, and remembers what it was asked."""

    identity: ModelIdentity
    dim: int = DIM
    max_tokens: int = 16
    asked: list[str] = field(default_factory=list)

    def encode_items(self, texts: Sequence[str]) -> Vectors:
        self.asked += texts
        return np.stack([axis(len(text)) for text in texts])

    encode_queries = encode_items


def axis(number: int) -> Vectors:
    direction: Vectors = np.eye(DIM, dtype=np.float32)[number % DIM]
    return direction


@pytest.fixture
def encoder(model: ModelIdentity) -> CountingEncoder:
    return CountingEncoder(model)


@pytest.fixture
def snapshot(write_version: WriteVersion, indexes: Path) -> Snapshot:
    """pin-0 to pin-29, texts `Pin 0` …, prices 0 to 29, tags `even` and `odd`."""
    return open_snapshot(indexes / "pins" / write_version())


@pytest.fixture
def open_live(
    write_version: WriteVersion,
    indexes: Path,
    serve: Callable[[str], None],
    encoder: CountingEncoder,
) -> Callable[..., Live]:
    serve(write_version())

    def open_(**options: object) -> Live:
        return Live(indexes, "pins", lambda identity: encoder, **options)  # type: ignore[arg-type]

    return open_


def put(name: str, vector: Vectors, model: ModelIdentity, **attributes: AttributeValue) -> Put:
    attributes = {"title": name, **attributes}
    return Put(1, ItemId(name), attributes, Embedding(name, vector, model.digest, TEMPLATE))


def no_encoder(texts: Sequence[str]) -> Vectors:
    raise AssertionError(f"nothing had to be encoded, not {texts}")


def store(live: Live, encoder: CountingEncoder, **items: dict[str, AttributeValue]) -> None:
    edits = edit_items(list(items.items()), live.current.shelf)
    live.commit(edits.changes(encoder.encode_items(edits.texts) if edits.texts else NO_VECTORS))


def patch(live: Live, name: str, encoder: CountingEncoder, **attributes: AttributeValue) -> None:
    edits = edit_attributes(ItemId(name), attributes, live.current.shelf)
    live.commit(edits.changes(encoder.encode_items(edits.texts) if edits.texts else NO_VECTORS))


def ids(shelf: Shelf, rows: Sequence[int]) -> list[str]:
    return [shelf.id(row) for row in rows if row >= 0]


def nearest(shelf: Shelf, vector: Vectors, k: int = 1) -> list[str]:
    return ids(shelf, shelf.search(vector[np.newaxis], k)[0][0].tolist())


# -- one value beside a version ---------------------------------------------------------------


def test_a_version_as_built_is_shown_as_it_is(snapshot: Snapshot) -> None:
    shelf = Shelf.of_snapshot(snapshot)
    assert len(shelf) == 30
    assert shelf.newest_first.tolist() == snapshot.newest_first.tolist()
    query = snapshot.vectors[3:4] + 0.0
    mine, theirs = shelf.search(query, 5), snapshot.retriever.search(query, 5)
    assert [each.tolist() for each in mine] == [each.tolist() for each in theirs]


def test_fresh_items_are_found_looked_up_and_explained_like_all_others(
    snapshot: Snapshot, model: ModelIdentity
) -> None:
    long = 9 * axis(2)
    fresh = FreshItems.none(snapshot).apply([put("new", long, model, price=5)], no_encoder)
    shelf = Shelf.of(fresh, now=0.0)
    assert nearest(shelf, axis(2)) == ["new"]
    assert shelf.row(ItemId("new")) == 30
    assert shelf.rows([ItemId("pin-1"), ItemId("no")]) == [1, None]
    assert shelf.attributes(30) == {"price": 5, "title": "new"}
    assert (shelf.vectors(np.array([30, 4])) == np.stack([long, snapshot.vectors[4]])).all()
    assert shelf.newest_first[:2].tolist() == [30, 29]


def test_a_replaced_item_keeps_its_place_and_a_deleted_one_loses_it(
    snapshot: Snapshot, model: ModelIdentity
) -> None:
    changes: list[Change] = [
        put("pin-28", axis(1), model),
        Delete(1, ItemId("pin-27")),
        Delete(1, ItemId("pin-29")),
        put("pin-29", axis(1), model),
    ]
    shelf = Shelf.of(FreshItems.none(snapshot).apply(changes, no_encoder), now=0.0)
    newest = ids(shelf, shelf.newest_first.tolist())
    assert newest[:3] == ["pin-29", "pin-28", "pin-26"]
    assert len(newest) == 29
    assert shelf.row(ItemId("pin-27")) is None


def test_nothing_that_is_served_can_be_changed(snapshot: Snapshot, model: ModelIdentity) -> None:
    before = FreshItems.none(snapshot)
    after = before.apply([put("new", axis(0), model)], no_encoder)
    assert not before.items
    with pytest.raises(FrozenInstanceError):
        after.sequence = 3  # type: ignore[misc]
    with pytest.raises(ValueError, match="read-only"):
        after.vectors[0] = 0
    with pytest.raises(TypeError):
        after.items[0] = after.items[0]  # type: ignore[index]


def test_filters_reach_keys_and_kinds_that_only_one_part_has(
    snapshot: Snapshot, model: ModelIdentity
) -> None:
    changes = [
        put("a", axis(0), model, price="free", colour="red"),
        put("b", axis(0), model, price=3.5, weight=2),
        put("c", axis(0), model, tag=["odd", "new"], story="x" * 300),
    ]
    shelf = Shelf.of(FreshItems.none(snapshot).apply(changes, no_encoder), now=0.0)

    def passing(**filters: Match | Range) -> list[str]:
        mask = shelf.allowed(Filter(must=tuple(filters.values())))
        assert mask is not None
        return ids(shelf, np.flatnonzero(mask).tolist())

    assert passing(where=Range("price", gt=2.5, lt=4)) == ["pin-3", "b"]
    assert passing(where=Match("price", ("free", 7))) == ["pin-7", "a"]
    assert passing(where=Match("colour", ("red",))) == ["a"]
    assert passing(where=Range("weight", gte=0)) == ["b"]
    assert passing(where=Match("tag", ("odd",)), and_=Range("price", gt=26)) == ["pin-27", "pin-29"]
    assert "c" in passing(where=Match("tag", ("odd",)))
    with pytest.raises(InvalidFilter, match="Known: 'colour', 'price', 'tag', 'title', 'weight'"):
        passing(where=Match("size", (1,)))
    with pytest.raises(InvalidFilter, match="too long"):
        passing(where=Match("story", ("x",)))


def test_rows_come_as_json_whether_they_are_fresh_or_of_the_version(
    snapshot: Snapshot, model: ModelIdentity
) -> None:
    changes: list[Change] = [put("a", axis(0), model, price=3.5), put("pin-3", axis(1), model)]
    shelf = Shelf.of(FreshItems.none(snapshot).apply(changes, no_encoder), now=0.0)
    rows = np.array([31, 0, 30, 29])
    assert shelf.written(rows) == [
        (orjson.dumps(shelf.id(row)), orjson.dumps(shelf.attributes(row))) for row in rows.tolist()
    ]


def test_the_same_filter_is_worked_out_once_and_again_after_a_change(
    snapshot: Snapshot, model: ModelIdentity
) -> None:
    wanted = Filter(must=(Match("tag", ("odd",)),))
    shelf = Shelf.of_snapshot(snapshot)
    mask = shelf.allowed(wanted)
    assert mask is not None
    assert not mask.flags.writeable
    assert shelf.allowed(Filter(must=(Match("tag", ("odd", "odd")),))) is mask
    changed = shelf.fresh.apply([Delete(1, ItemId("pin-1"))], no_encoder)
    after = Shelf.of(changed, now=0.0).allowed(wanted)
    assert after is not None
    assert np.flatnonzero(mask != after).tolist() == [1]


@pytest.fixture
def big(write_version: WriteVersion, indexes: Path) -> Snapshot:
    return open_snapshot(indexes / "pins" / write_version(items=300))


@settings(
    max_examples=60,
    deadline=None,
    # Nobody changes the version, so that one serves all examples.
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    seed=st.integers(0, 2**32 - 1),
    k=st.sampled_from([1, 2, 10, 400]),
    gone=st.sampled_from([0, 1, 30, 150, 299, 300]),
    fresh=st.sampled_from([0, 1, 40]),
    is_filtered=st.booleans(),
)
def test_every_search_is_that_of_an_exact_index_over_what_may_be_shown(
    big: Snapshot,
    model: ModelIdentity,
    seed: int,
    k: int,
    gone: int,
    fresh: int,
    is_filtered: bool,
) -> None:
    chance = np.random.default_rng(seed)
    near = int(chance.integers(300))
    # The nearest ones go, so that what is left is never simply at the top of the list.
    order = np.argsort(-(big.vectors @ big.vectors[near]))
    changes: list[Change] = [Delete(1, big.table.id(int(row))) for row in order[:gone]]
    vectors = chance.standard_normal((fresh, DIM)).astype(np.float32)
    changes += [
        put(f"new-{n}", vector, model, hidden=n % 3 == 0) for n, vector in enumerate(vectors)
    ]
    shelf = Shelf.of(FreshItems.none(big).apply(changes, no_encoder), now=0.0)
    shown = np.ones(len(shelf), np.bool_)
    shown[order[:gone]] = False
    shown[300::3] = False
    allowed = chance.random(len(shelf)) < 0.3 if is_filtered else None
    every = ExactIndex(np.concatenate([big.vectors, vectors]))
    query = big.vectors[near : near + 1] + 0.0
    expected = every.search(query, k, shown if allowed is None else shown & allowed)
    rows, scores = shelf.search(query, k, allowed)
    assert rows.shape == (1, k)
    found = rows[rows >= 0]
    assert sorted(found) == sorted(expected[0][expected[0] >= 0])
    assert len(set(found.tolist())) == len(found)
    # Summed in another order, so equal but for the last digits.
    np.testing.assert_allclose(scores, expected[1], atol=1e-4)


# -- hidden and expired -----------------------------------------------------------------------


@pytest.mark.parametrize("end", [100, "1970-01-01T00:01:40", "1970-01-01T01:01:40+01:00"])
def test_an_item_vanishes_at_the_moment_it_expires(
    snapshot: Snapshot, model: ModelIdentity, end: AttributeValue
) -> None:
    fresh = FreshItems.none(snapshot).apply(
        [put("sale", axis(0) * 9, model, available_until=end)], no_encoder
    )
    before = Shelf.of(fresh, now=50.0, revision="r")
    assert nearest(before, axis(0)) == ["sale"]
    assert before.at(99.999) is before
    after = before.at(100.0)
    assert nearest(after, axis(0)) != ["sale"]
    assert after.revision != before.revision
    # A clock that is put back is no reason to lie.
    assert nearest(after.at(99.0), axis(0)) == ["sale"]
    assert after.at(99.0).revision == before.revision


@pytest.mark.parametrize("value", [True, "true", "True", 1])
def test_hidden_items_of_the_version_itself_are_not_shown(
    open_live: Callable[..., Live], encoder: CountingEncoder, value: AttributeValue
) -> None:
    live = open_live()
    patch(live, "pin-3", encoder, hidden=value)
    assert "pin-3" not in nearest(live.current.shelf, axis(0), k=30)
    assert live.current.shelf.row(ItemId("pin-3")) is not None


def test_a_version_built_with_hidden_and_expiring_items_hides_them(
    write_version: WriteVersion, indexes: Path
) -> None:
    facts: dict[int, dict[str, AttributeValue]] = {
        1: {"hidden": True},
        2: {"hidden": "true"},
        3: {"hidden": False},
        4: {"available_until": 50},
        5: {"available_until": "1970-01-01T00:00:50Z"},
        6: {"available_until": "whenever"},
    }
    snapshot = open_snapshot(indexes / "pins" / write_version(facts=facts))

    def missing(now: float) -> set[int]:
        return set(range(30)) - set(Shelf.of_snapshot(snapshot, now).newest_first.tolist())

    assert missing(49.9) == {1, 2}
    assert missing(50.0) == {1, 2, 4, 5}


# -- a service that takes changes -------------------------------------------------------------


def test_what_was_committed_is_served_at_once_and_by_others_when_they_look(
    open_live: Callable[..., Live], encoder: CountingEncoder
) -> None:
    one, other = open_live(), open_live()
    held = one.current
    store(one, encoder, new={"title": "12345678"})
    assert nearest(one.current.shelf, axis(8) * 9)[0] in {"new", *held_names(held.shelf)}
    assert one.current.shelf.row(ItemId("new")) == 30
    assert held.shelf.row(ItemId("new")) is None
    assert other.current.shelf.row(ItemId("new")) is None
    assert other.catch_up()
    assert not other.catch_up()
    assert other.current.shelf.row(ItemId("new")) == 30
    assert other.current.shelf.revision == one.current.shelf.revision != held.shelf.revision


def held_names(shelf: Shelf) -> list[str]:
    return [shelf.id(row) for row in range(len(shelf))]


def test_only_new_texts_are_encoded(
    open_live: Callable[..., Live], encoder: CountingEncoder
) -> None:
    live, other = open_live(), open_live()
    store(live, encoder, new={"title": "a title", "price": 1})
    assert encoder.asked == ["a title"]
    store(live, encoder, new={"title": "a title", "price": 2})
    patch(live, "new", encoder, price=3, hidden=True)
    patch(live, "pin-7", encoder, price=None)
    assert encoder.asked == ["a title"]
    patch(live, "pin-7", encoder, title="another")
    assert encoder.asked == ["a title", "another"]
    # What is in the log needs no encoder in any other process, nor after a restart.
    other.catch_up()
    again = open_live()
    assert encoder.asked == ["a title", "another"]
    for each in (live, other, again):
        shelf = each.current.shelf
        row = shelf.row(ItemId("pin-7"))
        assert row is not None
        assert shelf.attributes(row) == {"tag": "odd", "title": "another"}
        assert (shelf.vectors(np.array([row]))[0] == axis(len("another"))).all()


def test_items_that_cannot_be_kept_are_refused_together(open_live: Callable[..., Live]) -> None:
    shelf = open_live().current.shelf
    given_: list[tuple[str, dict[str, object]]] = [
        ("good", {"title": "x"}),
        ("no-text", {"price": 3}),
        ("twice", {"title": "x"}),
        ("twice", {"title": "y"}),
        ("an\nid", {"title": "x"}),
        ("when", {"title": "x", "available_until": "soon"}),
        ("millis", {"title": "x", "available_until": 1_800_000_000_000}),
        ("big", {"title": "x", "price": 2**64}),
        ("nan", {"title": "x", "price": float("nan")}),
        ("deep", {"title": "x", "tags": [["x"]]}),
        ("id", {"title": "x", "id": "other"}),
    ]
    with pytest.raises(InvalidItem, match="9 of 11 items") as caught:
        edit_items(given_, shelf)
    assert [where for where, _ in caught.value.flaws] == [
        f"items.{position}" for position in (1, 3, 4, 5, 6, 7, 8, 9, 10)
    ]


def test_attributes_that_no_table_could_hold_are_refused(open_live: Callable[..., Live]) -> None:
    shelf = open_live().current.shelf
    with pytest.raises(InvalidItem, match="512 different attributes"):
        edit_items([("new", {"title": "x", **{f"key{n}": n for n in range(512)}})], shelf)


def test_a_patch_must_leave_a_text_and_find_an_item(open_live: Callable[..., Live]) -> None:
    shelf = open_live().current.shelf
    with pytest.raises(ItemNotFound):
        edit_attributes(ItemId("no"), {"price": 1}, shelf)
    with pytest.raises(InvalidItem):
        edit_attributes(ItemId("pin-1"), {"title": None}, shelf)
    with pytest.raises(InvalidItem):
        edit_attributes(ItemId("pin-1"), {"id": "pin-2"}, shelf)


def test_an_item_deleted_meanwhile_cannot_be_patched(
    open_live: Callable[..., Live], encoder: CountingEncoder
) -> None:
    one, other = open_live(), open_live()
    edits = edit_attributes(ItemId("pin-1"), {"price": 5}, other.current.shelf)
    one.commit([Delete(0, ItemId("pin-1"))])
    with pytest.raises(ItemNotFound):
        other.commit(edits.changes(NO_VECTORS))
    with pytest.raises(ItemNotFound):
        one.commit([Delete(0, ItemId("pin-1"))])


def test_fresh_items_are_limited_and_deletions_go_on(
    open_live: Callable[..., Live], encoder: CountingEncoder
) -> None:
    live = open_live(fresh_max=2)
    store(live, encoder, a={"title": "a"}, b={"title": "b"})
    with pytest.raises(TooManyChanges, match="2 are the limit") as caught:
        store(live, encoder, c={"title": "c"})
    assert "Build and publish" in caught.value.hint
    live.commit([Delete(0, ItemId("pin-1"))])
    patch(live, "a", encoder, price=3)
    live.commit([Delete(0, ItemId("a"))])
    store(live, encoder, c={"title": "c"})
    assert live.current.shelf.row(ItemId("c")) is not None


def test_a_disk_that_refuses_changes_nothing(
    open_live: Callable[..., Live], encoder: CountingEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = open_live()
    store(live, encoder, a={"title": "a"})
    before = live.current

    def fail(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("os.fsync", fail)
        with pytest.raises(ChangesNotStored):
            store(live, encoder, b={"title": "b"})
    assert live.current is before
    store(live, encoder, c={"title": "c"})
    assert [live.current.shelf.row(ItemId(name)) for name in "abc"] == [30, None, 31]


def test_a_damaged_log_stops_a_start_but_not_a_service(
    open_live: Callable[..., Live], encoder: CountingEncoder, indexes: Path
) -> None:
    now = [0.0]
    live, writer = open_live(clock=lambda: now[0]), open_live()
    store(writer, encoder, a={"title": "a"})
    live.catch_up()
    (file,) = (indexes / "pins" / CHANGES).glob("*.log")
    place = file.stat().st_size + 60
    store(writer, encoder, b={"title": "b"})
    store(writer, encoder, c={"title": "c"})
    whole = file.read_bytes()
    file.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
    with pytest.raises(CorruptArtifact, match="damaged"):
        open_live()
    assert not live.catch_up()
    assert "damaged" in (live.last_error or "")
    assert live.current.shelf.row(ItemId("a")) is not None
    with pytest.raises(CorruptArtifact, match="damaged"):
        store(live, encoder, d={"title": "d"})
    file.write_bytes(whole)
    now[0] += 10
    live.catch_up()
    assert live.last_error is None
    assert live.current.shelf.row(ItemId("b")) is not None


def test_another_model_encodes_again_what_it_did_not_make(
    open_live: Callable[..., Live],
    encoder: CountingEncoder,
    write_version: WriteVersion,
    indexes: Path,
    serve: Callable[[str], None],
    model: ModelIdentity,
) -> None:
    other = ModelIdentity("other", "2" * 40, "2" * 64)
    encoders = {model.digest: encoder, other.digest: CountingEncoder(other)}
    serve(write_version())
    live = Live(indexes, "pins", lambda identity: encoders[identity.digest])
    store(live, encoder, a={"title": "aaa"}, b={"title": "b"})
    patch(live, "pin-1", encoder, price=9)
    serve(write_version(made_by=other))
    assert live.refresh()
    assert encoders[other.digest].asked == ["aaa", "b"]
    assert [live.current.shelf.row(ItemId(name)) for name in ("a", "b")] == [30, 31]


def test_a_version_that_contains_changes_is_not_given_them_again(
    open_live: Callable[..., Live],
    encoder: CountingEncoder,
    write_version: WriteVersion,
    indexes: Path,
    serve: Callable[[str], None],
) -> None:
    live = open_live()
    live.commit([Delete(0, ItemId("pin-1"))])
    live.commit([Delete(0, ItemId("pin-2"))])
    before = live.current.snapshot.version
    serve(write_version(contained_changes=1))
    assert live.refresh()
    assert live.current.shelf.row(ItemId("pin-1")) is not None
    assert live.current.shelf.row(ItemId("pin-2")) is None
    # Back in the older version, the deletions count again.
    serve(before)
    assert live.refresh()
    assert live.current.shelf.row(ItemId("pin-1")) is None


def test_many_writers_and_readers_never_see_half_a_request(
    open_live: Callable[..., Live], encoder: CountingEncoder
) -> None:
    lives = [open_live(), open_live()]
    faults: list[str] = []
    is_over = threading.Event()

    def write(live: Live, thread: int) -> None:
        for turn in range(15):
            title = f"{thread} {turn}"
            items: dict[str, dict[str, AttributeValue]] = {
                f"{thread}-{part}": {"title": title, "turn": turn} for part in range(5)
            }
            edits = edit_items(list(items.items()), live.current.shelf)
            live.commit(edits.changes(np.ones((len(edits.texts), DIM), np.float32)))

    def read(live: Live) -> None:
        while not is_over.is_set():
            live.catch_up()
            shelf = live.current.shelf
            rows = shelf.search(np.ones((1, DIM), np.float32), 20)[0][0]
            turns: dict[str, set[object]] = {}
            for row in rows[rows >= 30].tolist():
                name = shelf.id(row).partition("-")[0]
                turns.setdefault(name, set()).add(shelf.attributes(row)["turn"])
            if any(len(seen) > 1 for seen in turns.values()):
                faults.append(f"{turns}")

    writers = [threading.Thread(target=write, args=(lives[n % 2], n)) for n in range(4)]
    readers = [threading.Thread(target=read, args=(live,)) for live in lives]
    for thread in writers + readers:
        thread.start()
    for thread in writers:
        thread.join()
    is_over.set()
    for thread in readers:
        thread.join()
    assert not faults
    for live in lives:
        live.catch_up()
        assert len(live.current.shelf.fresh.items) == 20
        turns = {each.item.attributes["turn"] for each in live.current.shelf.fresh.items}
        assert turns == {14}
    assert lives[0].current.shelf.revision == lives[1].current.shelf.revision


def test_the_log_compacts_itself_under_a_running_service(
    open_live: Callable[..., Live], encoder: CountingEncoder, indexes: Path
) -> None:
    live, other = open_live(), open_live()
    store(live, encoder, a={"title": "a", "story": "x" * 400_000})
    for price in range(30):
        patch(live, "a", encoder, story="x" * 400_000, price=price)
    (file,) = (indexes / "pins" / CHANGES).glob("*.log")
    assert file.stat().st_size < 5 << 20
    assert int(file.name[:8]) > 1
    other.catch_up()
    for each in (live, other):
        row = each.current.shelf.row(ItemId("a"))
        assert row is not None
        assert each.current.shelf.attributes(row)["price"] == 29
    assert live.current.shelf.revision == other.current.shelf.revision


def test_a_change_of_a_version_removed_with_its_log_is_gone(
    open_live: Callable[..., Live], encoder: CountingEncoder, indexes: Path
) -> None:
    live = open_live()
    store(live, encoder, a={"title": "a"})
    shutil.rmtree(indexes / "pins" / CHANGES)
    assert live.catch_up()
    assert live.current.shelf.row(ItemId("a")) is None
    store(live, encoder, b={"title": "b"})
    assert live.current.shelf.row(ItemId("b")) is not None


def test_a_patch_over_another_text_is_encoded_where_it_is_replayed(
    snapshot: Snapshot, model: ModelIdentity, encoder: CountingEncoder
) -> None:
    stale = Embedding("what it was when it was patched", axis(0), model.digest, TEMPLATE)
    change = Patch(1, ItemId("pin-1"), {"title": "now"}, stale)
    fresh = FreshItems.none(snapshot).apply([change], encoder.encode_items)
    assert encoder.asked == ["now"]
    assert fresh.items[0].item.text == "now"
