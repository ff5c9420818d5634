"""What a search costs: counted, not timed, so that it is the same on every machine.

Distances computed, times the nanoseconds that one of that kind takes.
"""

import faiss

from service.index.code_search import CodeSearch
from service.index.faiss_file import StoredIndex
from service.index.faiss_index import FaissIndex
from service.index.manifest import EfSearch
from service.index.recall_queries import RecallQueries

# Nanoseconds on the machine of docs/benchmarks/index.md. Graphs are priced as the compiled search
# walks them, by a fit to runs with codes of 160, 192 and 384 bytes; the rest as FAISS searches. A
# graph jumps about in memory, a list is read from end to end, and a row is scored again from memory
# that nobody has touched lately.
_WALK_CALL_US, _CALL_US = 4.0, 15.0
_HOP_NS, _HOP_BYTE_NS = 37.0, 0.057
_SCAN_NS, _SCAN_BYTE_NS = 4.0, 0.06
_FAST_SCAN_BYTE_NS = 0.03
# Fast scan writes tables of the question for every list it looks into, by the numbers of a vector.
_TABLE_NUMBER_NS, _RABITQ_TABLE_NUMBER_NS = 1.8, 6.3
_AXIS_NUMBER_NS = 0.05
_WALK_RESCORE_NS, _RESCORE_NS = 150.0, 250.0
_FLAT_NUMBER_NS = 0.12


def search_cost_us(
    stored: StoredIndex, queries: RecallQueries, effort: EfSearch | None, k: int
) -> float:
    """Microseconds that a search for k costs by the distances it computes, on average.

    Args:
        stored: the index over the vectors of the queries.
        queries: what is asked.
        effort: how hard the index searches; None for flat.
        k: how many neighbours.
    """
    vectors = queries.vectors
    if effort is None:
        return _CALL_US + _FLAT_NUMBER_NS * vectors.size / 1e3
    distances = _distances(stored, queries, effort, k)
    again = k + effort.spare(k) if effort.rescored else 0
    turn = 0.0 if stored.axes is None else stored.axes.size * _AXIS_NUMBER_NS
    if hasattr(stored.index, "hnsw"):
        code = faiss.downcast_index(stored.index.storage).code_size
        walk = distances * (_HOP_NS + _HOP_BYTE_NS * code)
        return float(_WALK_CALL_US + (turn + walk + again * _WALK_RESCORE_NS) / 1e3)
    code = getattr(stored.index, "code_size", 0)
    kind = type(stored.index).__name__
    fast = "FastScan" in kind
    per_row = code * _FAST_SCAN_BYTE_NS if fast else _SCAN_NS + code * _SCAN_BYTE_NS
    centres = stored.index.nlist * stored.index.d * _AXIS_NUMBER_NS
    tables = 0.0
    if fast:
        lists = min(effort.at(k), stored.index.nlist)
        a_number = _RABITQ_TABLE_NUMBER_NS if "RaBitQ" in kind else _TABLE_NUMBER_NS
        tables = lists * stored.index.d * a_number
    scan = centres + tables + distances * per_row
    return float(_CALL_US + (turn + scan + again * _RESCORE_NS) / 1e3)


def _distances(stored: StoredIndex, queries: RecallQueries, effort: EfSearch, k: int) -> float:
    """Distances that are computed for one query, on average."""
    vectors = queries.vectors
    if not hasattr(stored.index, "hnsw"):
        # What it would read if all lists were of one length.
        return float(len(vectors) * min(effort.at(k), stored.index.nlist) / stored.index.nlist)
    index = FaissIndex(stored, vectors, effort)
    codes = CodeSearch.over(stored, vectors, rescored=effort.rescored)
    if codes is not None:
        return codes.compared(queries.queries, k, index.effort(k, len(vectors)))
    # FAISS counts for the whole process; a build measures alone.
    counted = faiss.cvar.hnsw_stats
    counted.reset()
    index.search(queries.queries, k)
    return float(counted.ndis / len(queries.queries))
