/* A walk through the graph of near neighbours that FAISS built.
 *
 * All neighbours of a node are asked for before the first is needed, and what was seen is kept in
 * a table as large as the walk, where FAISS clears a byte an item for each search.
 */

#include "codes.h"

enum { SEEN_A_NODE = 40, SEEN_BITS_MIN = 10, SEEN_BITS_MAX = 24 };

/* The graph of FAISS: all links of a node lie together, level by level. */
struct graph {
  struct codes codes;
  const int32_t *links;
  const uint64_t *offsets;     /* (count + 1): where the links of a node start */
  const int32_t *level_starts; /* where a level starts among the links of a node */
  int32_t entry, top_level;
};

/* Nodes met, in an open hash table of node + 1; 0 is empty. */
struct seen {
  uint32_t *slots;
  uint32_t bits, used;
};

static uint32_t slot_of(const struct seen *seen, uint32_t entry) {
  uint32_t mask = ((uint32_t)1 << seen->bits) - 1;
  uint32_t slot = entry * 2654435761u >> (32 - seen->bits);
  while (seen->slots[slot] && seen->slots[slot] != entry) slot = (slot + 1) & mask;
  return slot;
}

static bool start_seen(struct seen *seen, uint32_t bits) {
  seen->bits = bits;
  seen->used = 0;
  seen->slots = calloc((size_t)1 << bits, sizeof *seen->slots);
  return seen->slots != NULL;
}

/* Make room for `more` nodes before they are met, so that meeting them cannot fail. */
static bool reserve_seen(struct seen *seen, uint32_t more) {
  while (2 * (uint64_t)(seen->used + more) > (uint64_t)1 << seen->bits) {
    struct seen larger;
    if (!start_seen(&larger, seen->bits + 1)) return false;
    for (uint64_t i = 0; i < (uint64_t)1 << seen->bits; i++)
      if (seen->slots[i]) larger.slots[slot_of(&larger, seen->slots[i])] = seen->slots[i];
    larger.used = seen->used;
    free(seen->slots);
    *seen = larger;
  }
  return true;
}

/* Whether a node is met for the first time. */
static bool meet(struct seen *seen, int32_t node) {
  uint32_t entry = (uint32_t)node + 1, slot = slot_of(seen, entry);
  if (seen->slots[slot]) return false;
  seen->slots[slot] = entry;
  seen->used++;
  return true;
}

/* From the top of the graph to the node on level 1 that no neighbour there betters; codes compared
 * are added to `compared`, and `scores` has room for the neighbours of a node. */
static int32_t descend(const struct graph *graph, const struct query *query, int32_t *scores,
                       int64_t *compared) {
  int32_t node = graph->entry;
  score_nodes(&graph->codes, &node, 1, query->whole, scores);
  int32_t best = scores[0];
  for (int32_t level = graph->top_level; level > 0; level--) {
    for (int32_t before = -1; before != node;) {
      before = node;
      const int32_t *links = graph->links + graph->offsets[node] + graph->level_starts[level];
      int32_t most = graph->level_starts[level + 1] - graph->level_starts[level], count = 0;
      for (; count < most && links[count] >= 0; count++) fetch_code(&graph->codes, links[count]);
      score_nodes(&graph->codes, links, count, query->whole, scores);
      for (int32_t j = 0; j < count; j++)
        if (scores[j] > best) best = scores[j], node = links[j];
      *compared += count;
    }
  }
  return node;
}

/* The neighbours of a node that are met for the first time, on their way to the cache. */
static int32_t gather(const struct graph *graph, struct seen *seen, int32_t node, int32_t *near) {
  const int32_t *links = graph->links + graph->offsets[node];
  int32_t most = graph->level_starts[1], count = 0;
  for (int32_t j = 0; j < most && links[j] >= 0; j++) {
    if (!meet(seen, links[j])) continue;
    fetch_code(&graph->codes, links[j]);
    near[count++] = links[j];
  }
  return count;
}

static void fetch_links(const struct graph *graph, int32_t node) {
  const int32_t *links = graph->links + graph->offsets[node];
  fetch(links, graph->level_starts[1] * (int64_t)sizeof *links);
}

/* Follow the best node of the pool that was not followed yet, until there is none. */
static bool follow(const struct graph *graph, const struct query *query, struct pool *pool,
                   struct seen *seen, int32_t *near, int32_t *scores, int64_t *compared) {
  int32_t most = graph->level_starts[1];
  for (int32_t at = 0; at < pool->size;) {
    int32_t node = node_of(pool->keys[at]), best = pool->room;
    pool->keys[at] |= 1;
    if (!reserve_seen(seen, (uint32_t)most)) return false;
    int32_t count = gather(graph, seen, node, near);
    score_nodes(&graph->codes, near, count, query->whole, scores);
    for (int32_t j = 0; j < count; j++) {
      int32_t place = keep(pool, scores[j], near[j]);
      if (place > best) continue;
      best = place;
      if (place <= at + 1) fetch_links(graph, near[j]);
    }
    *compared += count;
    if (best < at) at = best;
    while (at < pool->size && pool->keys[at] & 1) at++;
    if (at + 1 < pool->size) fetch_links(graph, node_of(pool->keys[at + 1]));
  }
  return true;
}

/* Walk for the k best rows of one query; how many were found, or an error.
 *
 * effort: how many nodes are kept on the way; wanted: how many of them are scored again;
 * compared: by how many codes it grows, unless it is NULL. */
API int32_t magpie_walk(const struct graph *graph, const float *vector, int32_t k, int32_t effort,
                        int32_t wanted, int64_t *rows, float *scores, int64_t *compared) {
  const struct codes *codes = &graph->codes;
  float line[codes->width];
  int16_t whole[codes->width];
  struct query query = {.vector = vector, .line = line, .whole = whole};
  if (!turn(codes, &query)) return NOT_FINITE;
  int32_t room = effort > wanted ? effort : wanted, most = graph->level_starts[1];
  uint32_t bits = SEEN_BITS_MIN;
  while (bits < SEEN_BITS_MAX && (int64_t)1 << bits < (int64_t)SEEN_A_NODE * room) bits++;
  struct pool pool = {malloc((size_t)room * sizeof *pool.keys), 0, room};
  int32_t *nodes = malloc(((size_t)room + 2 * (size_t)most) * sizeof *nodes);
  struct seen seen = {NULL, 0, 0};
  int32_t found = OUT_OF_MEMORY;
  if (pool.keys && nodes && start_seen(&seen, bits)) {
    int32_t *near = nodes + room, *estimates = near + most;
    int64_t ignored = 0, *counter = compared ? compared : &ignored;
    int32_t start = descend(graph, &query, estimates, counter);
    score_nodes(codes, &start, 1, whole, estimates);
    meet(&seen, start);
    keep(&pool, estimates[0], start);
    if (follow(graph, &query, &pool, &seen, near, estimates, counter))
      found = rank_pool(codes, &query, &pool, wanted, nodes, k, rows, scores);
  }
  free(pool.keys), free(nodes), free(seen.slots);
  return found;
}


/* Of the sources; see service/index/native/library.py. */
API const char *magpie_digest(void) { return MAGPIE_DIGEST; }
