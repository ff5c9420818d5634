"""Gates: what an export has to reach, and whether it did."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from service.encoders.exports import Precision
from service.pipelines.check_report import Comparison, Gate, RankingLoss, Verdict
from service.pipelines.golden_vectors import GoldenResult


@dataclass(frozen=True, slots=True)
class Gates:
    """What is asked. A cosine of 0.9999 is rounding; the rest bounds what 8 bits may cost.

    Overlap counts ties against a model: among 9,742 films described by title and genres, the
    tenth nearest and the eleventh differ by 0.002 in the median, and int8 at a mean cosine of
    0.9991 shares 94 % of the ten nearest, though its ten are as similar to 0.04 %. So the overlap
    may be `int8_overlap_of_ties` where the similarity lost is at most `int8_similarity_loss`.
    """

    float32_min_cosine: float = 0.9999
    int8_mean_cosine: float = 0.99
    int8_overlap_at_10: float = 0.95
    int8_overlap_of_ties: float = 0.90
    int8_similarity_loss: float = 0.001
    ndcg_loss: float = 0.005


def judge(
    precision: Precision,
    comparisons: Sequence[Comparison],
    ranking: Sequence[RankingLoss],
    golden: GoldenResult | None,
    gates: Gates,
) -> Iterator[Gate]:
    """Hold what was measured against what is asked, gate by gate."""
    for each in comparisons:
        name = f"{each.left} ↔ {each.right}"
        if "int8" in (each.left, each.right) or (
            precision == "int8" and each.overlap_at_10 is None
        ):
            yield _at_least(f"mean cosine {name}", each.cosine.mean, gates.int8_mean_cosine)
        else:
            yield _at_least(f"smallest cosine {name}", each.cosine.min, gates.float32_min_cosine)
        if each.right == "int8" and each.overlap_at_10 is not None:
            yield _overlap_gate(each, each.overlap_at_10, name, gates)
    for loss in ranking:
        yield _at_most(f"NDCG@10 loss {loss.left} ↔ {loss.right}", loss.loss, gates.ndcg_loss)
    if golden is not None:
        yield _at_most("distance from golden vectors", golden.max_error, golden.tolerance)


def _overlap_gate(each: Comparison, overlap: float, name: str, gates: Gates) -> Gate:
    lost = each.similarity_loss
    if (
        overlap < gates.int8_overlap_at_10
        and lost is not None
        and lost <= gates.int8_similarity_loss
    ):
        return _at_least(f"overlap@10 among ties {name}", overlap, gates.int8_overlap_of_ties)
    return _at_least(f"overlap@10 {name}", overlap, gates.int8_overlap_at_10)


def _at_least(name: str, measured: float, asked: float) -> Gate:
    return Gate(
        name=name, measured=measured, asked=asked, direction="at least", passed=measured >= asked
    )


def _at_most(name: str, measured: float, asked: float) -> Gate:
    return Gate(
        name=name, measured=measured, asked=asked, direction="at most", passed=measured <= asked
    )


def verdict(gates: Sequence[Gate], *, is_compared: bool) -> Verdict:
    """Sum the gates up; an export that was compared with nothing is `unproven` at best."""
    if not all(gate.passed for gate in gates):
        return "failed"
    return "passed" if is_compared else "unproven"
