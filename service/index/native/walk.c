/* A walk through the graph of near neighbours that FAISS built.
 *
 * All neighbours of a node are asked for before the first is needed, and what was seen is kept in
 * a table as large as the walk, where FAISS clears a byte an item for each search.
 */

#include "codes.h"

enum { SEEN_A_NODE = 40, SEEN_BITS_MIN = 10, SEEN_BITS_MAX = 24, TOGETHER = 2, TOP = -1 };

/* The graph of FAISS: all links of a node lie together, level by level. */
struct graph {
  struct codes codes;
  const int32_t *links;
  const uint64_t *offsets;     /* (count + 1): where the links of a node start */
  const int32_t *level_starts; /* where a level starts among the links of a node */
  int32_t entry, top_level;
};

/* How long a walk goes on. */
struct effort {
  int32_t kept;   /* nodes kept on the way, at most */
  int32_t again;  /* how many of them are scored again */
  int32_t anchor; /* which best node the reach is measured from */
  float reach;    /* how much farther than that one a node may be to be followed; 0: any distance */
  float longest;  /* length of the longest vector: nothing scores higher with a query of length 1 */
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

/* The links of a node on a level, and how many there may be. */
static const int32_t *links_of(const struct graph *graph, int32_t node, int32_t level,
                               int32_t *most) {
  *most = graph->level_starts[level + 1] - graph->level_starts[level];
  return graph->links + graph->offsets[node] + graph->level_starts[level];
}

/* The neighbours of a node that are met for the first time, on their way to the cache. */
static int32_t gather(const struct graph *graph, struct seen *seen, int32_t node, int32_t level,
                      int32_t *near) {
  int32_t most, count = 0;
  const int32_t *links = links_of(graph, node, level, &most);
  for (int32_t j = 0; j < most && links[j] >= 0; j++) {
    if (!meet(seen, links[j])) continue;
    fetch_code(&graph->codes, links[j]);
    near[count++] = links[j];
  }
  return count;
}

static void fetch_links(const struct graph *graph, int32_t node, int32_t level) {
  int32_t most;
  const int32_t *links = links_of(graph, node, level, &most);
  fetch(links, most * (int64_t)sizeof *links);
}

static int64_t score_of(int64_t key) { return -(key >> 32); }

/* The highest score that any vector could have. */
static double highest_score(const struct codes *codes, const struct query *query, float longest) {
  double base = dot(query->line, codes->lows, codes->width);
  return query->scale * (longest * length_of(query->vector, codes->dim) - base);
}

/* The score below which no node is followed: that of one farther from the query than the anchor by
 * more than the reach. A distance is what is missing to the highest score.
 *
 * Source: Al-Jazzazi et al., Distance Adaptive Beam Search, 2025. */
static int64_t least_score(const struct pool *pool, const struct effort *effort, double highest) {
  if (effort->reach <= 0 || pool->size < effort->anchor) return INT64_MIN;
  double distance = highest - (double)score_of(pool->keys[effort->anchor - 1]);
  return (int64_t)(highest - (1 + effort->reach) * (distance > 0 ? distance : 0));
}

/* One search: what belongs to the query, and room for the neighbours of a node. */
struct walk {
  const struct graph *graph;
  const struct effort *effort;
  struct query query;
  struct pool pool;
  struct seen seen;
  int32_t *near, *scores;
  int64_t compared;
};

/* Ask for the links of the next nodes that will be followed. */
static void fetch_next(const struct walk *walk, int32_t at, int32_t level) {
  const struct pool *pool = &walk->pool;
  for (int32_t ahead = 0; at < pool->size && ahead < TOGETHER; at++) {
    if (pool->keys[at] & FOLLOWED) continue;
    fetch_links(walk->graph, node_of(pool->keys[at]), level);
    ahead++;
  }
}

/* Take up to `most` of the nodes from `*at` on that were not followed yet and score no less than
 * `least`, and gather their neighbours; how many were taken. */
static int32_t take(struct walk *walk, int32_t *at, int32_t end, int32_t most, int32_t level,
                    int64_t least, int32_t *count) {
  int32_t taken = 0;
  for (*count = 0; *at < end && taken < most; ++*at) {
    int64_t *key = walk->pool.keys + *at;
    if (*key & FOLLOWED) continue;
    if (score_of(*key) < least) break;
    *key |= FOLLOWED;
    *count += gather(walk->graph, &walk->seen, node_of(*key), level, walk->near + *count);
    taken++;
  }
  return taken;
}

/* Follow the best nodes of the pool on a level that were not followed yet, until there is none in
 * reach among the first `breadth`; whether there was memory.
 *
 * On the ground two are followed at a time: one wait for memory does for both. */
static bool follow(struct walk *walk, int32_t level, int32_t breadth, double highest) {
  struct pool *pool = &walk->pool;
  int32_t together = level ? 1 : TOGETHER, count;
  for (int32_t at = 0;;) {
    uint32_t more = (uint32_t)(TOGETHER * walk->graph->level_starts[1]);
    if (!reserve_seen(&walk->seen, more)) return false;
    int64_t least = level ? INT64_MIN : least_score(pool, walk->effort, highest);
    int32_t end = pool->size < breadth ? pool->size : breadth;
    if (!take(walk, &at, end, together, level, least, &count)) return true;
    score_nodes(&walk->graph->codes, walk->near, count, walk->query.whole, walk->scores);
    for (int32_t j = 0; j < count; j++) {
      /* Out of reach now is out of reach for good. */
      if (walk->scores[j] < least && pool->size >= walk->effort->again) continue;
      int32_t place = keep(pool, walk->scores[j], walk->near[j]);
      if (place < at) at = place;
    }
    walk->compared += count;
    fetch_next(walk, at, level);
  }
}

/* Stand at a node on the ground or, where it is TOP, go from the top of the graph to the level above
 * the ground, always to the best node: what was met on the way stays in the pool. */
static bool begin(struct walk *walk, int32_t start) {
  const struct graph *graph = walk->graph;
  struct pool *pool = &walk->pool;
  int32_t level = start == TOP ? graph->top_level : 0;
  if (start == TOP) start = graph->entry;
  meet(&walk->seen, start);
  score_nodes(&graph->codes, &start, 1, walk->query.whole, walk->scores);
  keep(pool, walk->scores[0], start);
  for (; level > 0; level--) {
    if (!follow(walk, level, 1, 0)) return false;
    for (int32_t at = 0; at < pool->size; at++) pool->keys[at] &= ~(int64_t)FOLLOWED;
  }
  return true;
}

/* Walk for the k best rows of one query; how many were found, or an error.
 *
 * start: a node that is known to be near, or TOP; compared: by how many codes it grows, unless it is
 * NULL. */
API int32_t magpie_walk(const struct graph *graph, const float *vector, int32_t start, int32_t k,
                        const struct effort *effort, int64_t *rows, float *scores,
                        int64_t *compared) {
  const struct codes *codes = &graph->codes;
  float line[codes->width];
  int16_t whole[codes->width];
  struct walk walk = {.graph = graph, .effort = effort};
  walk.query = (struct query){.vector = vector, .line = line, .whole = whole};
  if (!turn(codes, &walk.query)) return NOT_FINITE;
  double highest = highest_score(codes, &walk.query, effort->longest);
  int32_t room = effort->kept > effort->again ? effort->kept : effort->again;
  int32_t most = graph->level_starts[1];
  uint32_t bits = SEEN_BITS_MIN;
  while (bits < SEEN_BITS_MAX && (int64_t)1 << bits < (int64_t)SEEN_A_NODE * room) bits++;
  walk.pool = (struct pool){malloc((size_t)room * sizeof *walk.pool.keys), 0, room};
  int32_t *nodes = malloc(((size_t)room + 2 * TOGETHER * (size_t)most) * sizeof *nodes);
  int32_t found = OUT_OF_MEMORY;
  if (walk.pool.keys && nodes && start_seen(&walk.seen, bits)) {
    walk.near = nodes + room, walk.scores = walk.near + TOGETHER * most;
    if (begin(&walk, start) && follow(&walk, 0, room, highest))
      found = rank_pool(codes, &walk.query, &walk.pool, effort->again, nodes, k, rows, scores);
    if (compared) *compared += walk.compared;
  }
  free(walk.pool.keys), free(nodes), free(walk.seen.slots);
  return found;
}

/* Of the sources; see service/index/native/library.py. */
API const char *magpie_digest(void) { return MAGPIE_DIGEST; }
