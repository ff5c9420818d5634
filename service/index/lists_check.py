"""Do the lists of an inverted file name every row once? Looked at once, at opening.

A search scores the rows that it finds in the lists with the full vectors, wherever they point.
FAISS compares the sizes of codes and lists when it reads them, and does not look at the rows.
"""

import faiss
import numpy as np


def are_sound(index: faiss.IndexIVF) -> bool:
    """Whether the lists name each of the index's rows once, and no other.

    Args:
        index: an inverted file of any kind that we build.
    """
    lists, count = faiss.downcast_InvertedLists(index.invlists), int(index.ntotal)
    sizes = [lists.list_size(number) for number in range(lists.nlist)]
    if lists.nlist != index.nlist or sum(sizes) != count:
        return False
    seen = np.zeros(count, np.bool_)
    for number, size in enumerate(sizes):
        if not size:
            continue
        rows = faiss.rev_swig_ptr(lists.get_ids(number), size)
        if rows.min() < 0 or rows.max() >= count:
            return False
        seen[rows] = True
    return bool(seen.all())
