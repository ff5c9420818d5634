"""Vectors that a team brings along."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from service.catalogue.column_map import ColumnMap
from service.catalogue.text import TextTemplate
from service.encoders.encoder import Encoder
from service.errors import EncodingFailed, InvalidCatalogue, TextSearchUnavailable
from service.index.live import Live
from service.index.publish import publish
from service.index.snapshot import Snapshot, open_snapshot
from service.pipelines.build_index import BuildReport, build
from service.pipelines.external_vectors import ExternalVectors
from service.types import ModelIdentity, Vectors

NOW = datetime(2026, 11, 23, 10, 15, 2, tzinfo=UTC)
DIM = 12

Save = Callable[..., Path]


@pytest.fixture
def vectors() -> Vectors:
    return np.random.default_rng(3).standard_normal((6, DIM)).astype(np.float32)


@pytest.fixture
def save(tmp_path: Path) -> Save:
    """Save an array as .npy; returns its path."""

    def write(array: object, name: str = "vectors.npy") -> Path:
        np.save(tmp_path / name, np.asarray(array), allow_pickle=False)
        return tmp_path / name

    return write


@pytest.fixture
def films(tmp_path: Path) -> Path:
    path = tmp_path / "films.jsonl"
    path.write_text("".join(f'{{"id":"f{n}","title":"Film {n}"}}\n' for n in range(6)))
    return path


def make(source: Path, external: ExternalVectors, *, max_reject_share: float = 0) -> BuildReport:
    return build(
        source,
        ColumnMap("id", TextTemplate("{title}")),
        name="films",
        models=source.parent / "none",
        indexes=source.parent / "indexes",
        model_id="none",
        now=NOW,
        external=external,
        max_reject_share=max_reject_share,
    )


def snapshot_of(source: Path, report: BuildReport) -> Snapshot:
    return open_snapshot(source.parent / "indexes" / "films" / report.version)


def test_vectors_in_the_order_of_the_rows_need_no_model(
    films: Path, vectors: Vectors, save: Save
) -> None:
    report = make(films, ExternalVectors(save(vectors), "two-tower"))
    snapshot = snapshot_of(films, report)
    np.testing.assert_array_equal(snapshot.vectors, vectors)
    assert report.model == str(snapshot.manifest.model) == "external@two-tower"
    assert (report.embedded.encoded, report.texts_per_second) == (0, 0)
    assert list(report.seconds) == ["read", "gather", "index", "write"]


@pytest.mark.parametrize("form", ["text", "npy"])
def test_vectors_are_put_in_order_by_their_ids(
    films: Path, vectors: Vectors, save: Save, tmp_path: Path, form: str
) -> None:
    names = ["f5", "f0", "unknown", "f1", "f2", "f3", "f4"]
    ids = tmp_path / "ids.txt"
    ids.write_text("\n".join(names) + "\n")
    if form == "npy":
        ids = save(names, "ids.npy")
    path = save(np.vstack([vectors[5], vectors[0], np.ones(DIM), vectors[1:5]]).astype("f4"))
    report = make(films, ExternalVectors(path, "two-tower", ids_path=ids))
    np.testing.assert_array_equal(snapshot_of(films, report).vectors, vectors)
    assert report.embedded.unused == 1


def test_whole_numbers_as_ids_match_ids_written_as_text(
    tmp_path: Path, vectors: Vectors, save: Save
) -> None:
    source = tmp_path / "n.csv"
    source.write_text("id,title\n7,A\n5,B\n")
    ids = save(np.array([5, 7]), "ids.npy")
    external = ExternalVectors(save(vectors[:2]), "x", ids_path=ids)
    report = make(source, external)
    np.testing.assert_array_equal(snapshot_of(source, report).vectors, vectors[[1, 0]])


def test_rejected_rows_keep_their_vectors_to_themselves(
    films: Path, vectors: Vectors, save: Save
) -> None:
    films.write_text(films.read_text().replace('"title":"Film 2"', '"title":""'))
    report = make(films, ExternalVectors(save(vectors), "x"), max_reject_share=0.5)
    np.testing.assert_array_equal(snapshot_of(films, report).vectors, vectors[[0, 1, 3, 4, 5]])
    assert (report.rejects, report.embedded.unused) == (1, 1)


def test_item_without_a_vector_is_a_reject(
    films: Path, vectors: Vectors, save: Save, tmp_path: Path
) -> None:
    ids = tmp_path / "ids.txt"
    ids.write_text("f0\nf1\nf2\nf3\nf4\n")
    path = save(vectors[:5])
    with pytest.raises(InvalidCatalogue, match="line 6: no vector for the id 'f5'"):
        make(films, ExternalVectors(path, "x", ids_path=ids))
    report = make(films, ExternalVectors(path, "x", ids_path=ids), max_reject_share=0.5)
    assert (report.items, report.rejects) == (5, 1)


def test_half_precision_is_widened_and_rows_scaled_on_request(
    films: Path, vectors: Vectors, save: Save
) -> None:
    half = vectors.astype(np.float16)
    report = make(films, ExternalVectors(save(half), "x", is_scaled=True))
    made = snapshot_of(films, report).vectors
    np.testing.assert_allclose(np.linalg.norm(made, axis=1), 1, rtol=1e-6)
    wide = half.astype(np.float32)
    np.testing.assert_allclose(made * np.linalg.norm(wide, axis=1, keepdims=True), wide, rtol=1e-5)


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0])
@pytest.mark.parametrize("is_scaled", [False, True])
def test_useless_rows_are_refused_with_their_ids(
    films: Path, vectors: Vectors, save: Save, value: float, is_scaled: bool
) -> None:
    vectors[[1, 4]] = value
    external = ExternalVectors(save(vectors), "x", is_scaled=is_scaled)
    with pytest.raises(EncodingFailed, match=r"2 of 6 vectors.*first ids: 'f1', 'f4'"):
        make(films, external)


@pytest.mark.parametrize("rows", [5, 7])
def test_more_or_fewer_vectors_than_rows_are_refused(films: Path, save: Save, rows: int) -> None:
    external = ExternalVectors(save(np.ones((rows, DIM), np.float32)), "x")
    with pytest.raises(InvalidCatalogue, match=rf"{rows} vectors.*6 rows.*--vector-ids"):
        make(films, external)


@pytest.mark.parametrize(
    "array", [np.ones(6, "f4"), np.ones((6, 2)), np.ones((0, 2), "f4"), np.ones((6, 2), "i4")]
)
def test_file_that_is_no_matrix_of_vectors_is_refused(save: Save, array: object) -> None:
    with pytest.raises(InvalidCatalogue, match="not a matrix of float32 or float16"):
        ExternalVectors(save(array), "x")


def test_pickles_text_and_missing_files_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "pickle.npy", np.array([{}]), allow_pickle=True)
    (tmp_path / "text.npy").write_text("no array")
    for name in ("pickle.npy", "text.npy", "absent.npy"):
        with pytest.raises(InvalidCatalogue, match="cannot be read"):
            ExternalVectors(tmp_path / name, "x")


@pytest.mark.parametrize(
    ("ids", "message"),
    [("a\nb\na\n", "'a' twice: rows 1 and 3"), ("a\nb\n", "2 ids for 3 vectors")],
)
def test_ids_that_do_not_fit_are_refused(
    tmp_path: Path, save: Save, ids: str, message: str
) -> None:
    (tmp_path / "ids.txt").write_text(ids)
    with pytest.raises(InvalidCatalogue, match=message):
        ExternalVectors(save(np.ones((3, 2), "f4")), "x", ids_path=tmp_path / "ids.txt")


def test_version_name_follows_the_vectors(films: Path, vectors: Vectors, save: Save) -> None:
    one = make(films, ExternalVectors(save(vectors), "x")).content_sha256
    other = ExternalVectors(save(vectors + 1), "x")
    assert make(films, other).content_sha256 != one


def test_text_search_is_refused_and_similar_items_are_served(
    films: Path, vectors: Vectors, save: Save
) -> None:
    report = make(films, ExternalVectors(save(vectors), "x"))
    indexes = films.parent / "indexes"
    publish(indexes, "films", report.version, now=NOW)

    def open_encoder(identity: ModelIdentity) -> Encoder:
        raise AssertionError("there is no model to open")

    serving = Live(indexes, "films", open_encoder).current
    rows, _ = serving.snapshot.retriever.search(vectors[2:3], 1)
    assert rows.tolist() == [[int((vectors @ vectors[2]).argmax())]]
    with pytest.raises(TextSearchUnavailable, match="external@x"):
        serving.encoder.encode_queries(["text"])
