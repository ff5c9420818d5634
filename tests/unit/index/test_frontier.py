from collections.abc import Callable
from xml.etree import ElementTree

from service.index.frontier import frontier_plot, frontier_table
from service.index.index_builder import Plan
from service.index.tuning import Wish, tune
from service.types import Vectors


def test_table_and_plot_show_every_candidate(make_vectors: Callable[..., Vectors]) -> None:
    plans = (Plan("Flat"), Plan("HNSW8,SQ8", 20), Plan("IVF16,SQ8"))
    tuned = tune(make_vectors(600, 16), Wish(0.9), seed=1, plans=plans)
    table, plot = frontier_table(tuned), frontier_plot(tuned, 0.9)
    for plan in plans:
        assert plan.factory in table
        assert plan.factory in plot
    assert table.count("chosen") == 1
    picture = ElementTree.fromstring(plot)
    circles = picture.findall("{http://www.w3.org/2000/svg}circle")
    assert len(circles) == 3
    assert all(0 <= float(c.attrib["cx"]) <= 760 for c in circles)
    assert all(0 <= float(c.attrib["cy"]) <= 420 for c in circles)
