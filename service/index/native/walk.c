/* A walk through the graph of near neighbours that FAISS built.
 *
 * All neighbours of a node are asked for before the first is needed, and what was seen is kept in
 * a table as large as the walk, where FAISS clears a byte an item for each search.
 */

#include "codes.h"

#include <math.h>

enum { SEEN_A_NODE = 40, SEEN_BITS_MIN = 10, SEEN_BITS_MAX = 24, TOGETHER = 2, TOP = -1, AT_ONCE = 3 };

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

/* What a walk does next: see `step`. */
enum stage { IDLE, TO_GATHER, TO_COMPARE, OVER };

/* One search after the other: what belongs to the query, and where it is. */
struct walk {
  const struct graph *graph;
  const struct effort *effort;
  struct query query;
  struct pool pool;
  struct seen seen;
  int64_t number; /* which of the queries */
  int64_t compared;
  double highest; /* score that any vector could have */
  int64_t least;  /* score of what is followed */
  int32_t level, at; /* `at`: no node of the pool before it is left to follow */
  int32_t next[TOGETHER], chosen; /* nodes to follow */
  int32_t *nodes, *near, *scores; /* near, (count): their neighbours; nodes has room for a pool */
  int32_t count;
  enum stage stage;
};

/* Choose the best nodes of the pool on this level that were not followed yet and are in reach, and
 * ask for their links; whether there is one.
 *
 * On the ground two are followed at a time: one wait for memory does for both. */
static bool choose(struct walk *walk) {
  struct pool *pool = &walk->pool;
  int32_t together = walk->level ? 1 : TOGETHER, breadth = walk->level ? 1 : pool->room;
  int32_t end = pool->size < breadth ? pool->size : breadth;
  walk->least = walk->level ? INT64_MIN : least_score(pool, walk->effort, walk->highest);
  for (walk->chosen = 0; walk->at < end && walk->chosen < together; walk->at++) {
    int64_t *key = pool->keys + walk->at;
    if (*key & FOLLOWED) continue;
    if (score_of(*key) < walk->least) break;
    *key |= FOLLOWED;
    walk->next[walk->chosen++] = node_of(*key);
    fetch_links(walk->graph, node_of(*key), walk->level);
  }
  return walk->chosen;
}

/* Choose on this level, or where nothing is left on it, on the one below: what was met on the way
 * stays in the pool. */
static bool choose_on_the_way(struct walk *walk) {
  while (!choose(walk)) {
    if (!walk->level) return false;
    for (int32_t j = 0; j < walk->pool.size; j++) walk->pool.keys[j] &= ~(int64_t)FOLLOWED;
    walk->level--, walk->at = 0;
  }
  return true;
}

/* Gather the neighbours of what was chosen; whether there was memory. */
static bool gather_near(struct walk *walk) {
  if (!reserve_seen(&walk->seen, (uint32_t)(TOGETHER * walk->graph->level_starts[1])))
    return false;
  walk->count = 0;
  for (int32_t j = 0; j < walk->chosen; j++)
    walk->count += gather(walk->graph, &walk->seen, walk->next[j], walk->level,
                          walk->near + walk->count);
  return true;
}

static void compare_near(struct walk *walk) {
  struct pool *pool = &walk->pool;
  score_nodes(&walk->graph->codes, walk->near, walk->count, walk->query.whole, walk->scores);
  for (int32_t j = 0; j < walk->count; j++) {
    /* Out of reach now is out of reach for good. */
    if (walk->scores[j] < walk->least && pool->size >= walk->effort->again) continue;
    int32_t place = keep(pool, walk->scores[j], walk->near[j]);
    if (place < walk->at) walk->at = place;
  }
  walk->compared += walk->count;
}

/* Go on until there is something to wait for; whether there was memory. */
static bool step(struct walk *walk) {
  if (walk->stage == TO_GATHER) {
    walk->stage = TO_COMPARE;
    return gather_near(walk);
  }
  compare_near(walk);
  walk->stage = choose_on_the_way(walk) ? TO_GATHER : OVER;
  return true;
}

/* Make room for walks one after the other; whether there was memory. */
static bool equip(struct walk *walk, const struct graph *graph, const struct effort *effort) {
  int64_t width = graph->codes.width, most = TOGETHER * (int64_t)graph->level_starts[1];
  int32_t room = effort->kept > effort->again ? effort->kept : effort->again;
  uint32_t bits = SEEN_BITS_MIN;
  while (bits < SEEN_BITS_MAX && (int64_t)1 << bits < (int64_t)SEEN_A_NODE * room) bits++;
  *walk = (struct walk){.graph = graph, .effort = effort, .stage = IDLE};
  walk->pool = (struct pool){malloc((size_t)room * (sizeof(int64_t) + sizeof(int32_t)) +
                                    (size_t)most * 2 * sizeof(int32_t) +
                                    (size_t)width * (sizeof(float) + sizeof(int16_t))),
                             0, room};
  walk->nodes = (int32_t *)(walk->pool.keys + room);
  walk->near = walk->nodes + room, walk->scores = walk->near + most;
  walk->query.line = (float *)(walk->scores + most);
  walk->query.whole = (int16_t *)(walk->query.line + width);
  return start_seen(&walk->seen, bits) && walk->pool.keys;
}

static void unequip(struct walk *walk) { free(walk->pool.keys), free(walk->seen.slots); }

/* Stand at a node or, where it is TOP, at the top of the graph; whether the query is finite. */
static bool start(struct walk *walk, const float *vector, int32_t node, int64_t number) {
  const struct graph *graph = walk->graph;
  walk->query.vector = vector;
  if (!turn(&graph->codes, &walk->query)) return false;
  walk->highest = highest_score(&graph->codes, &walk->query, walk->effort->longest);
  if (walk->seen.used) memset(walk->seen.slots, 0, sizeof *walk->seen.slots << walk->seen.bits);
  walk->seen.used = 0;
  walk->pool.size = 0;
  walk->number = number;
  walk->level = node == TOP ? graph->top_level : 0, walk->at = 0;
  walk->near[0] = node == TOP ? graph->entry : node, walk->count = 1;
  meet(&walk->seen, walk->near[0]);
  walk->stage = TO_COMPARE;
  return true;
}

/* Where the answers of many queries go: (count, k), what was not found as -1 and minus infinity. */
struct answers {
  int64_t *rows;
  float *scores;
  int32_t k, lacking; /* answers with fewer rows than k */
};

static void finish(struct walk *walk, struct answers *answers) {
  int32_t k = answers->k;
  int64_t *rows = answers->rows + walk->number * k;
  float *scores = answers->scores + walk->number * k;
  int32_t found = rank_pool(&walk->graph->codes, &walk->query, &walk->pool, walk->effort->again,
                            walk->nodes, k, rows, scores);
  answers->lacking += found < k;
  for (; found < k; found++) rows[found] = -1, scores[found] = -INFINITY;
  walk->stage = IDLE;
}

/* Walk for the k best rows of every query; how many queries found fewer, or an error.
 *
 * Up to AT_ONCE take turns: while one waits for memory the next one goes on.
 *
 * vectors: (count, dim); starts: for each a node that is known to be near, or TOP; NULL for TOP all;
 * rows, scores: see `struct answers`; compared: by how many codes it grows, unless it is NULL. */
API int32_t magpie_walk(const struct graph *graph, const float *vectors, const int32_t *starts,
                        int64_t count, int32_t k, const struct effort *effort, int64_t *rows,
                        float *scores, int64_t *compared) {
  struct walk walks[AT_ONCE];
  struct answers answers = {rows, scores, k, 0};
  int32_t size = count < AT_ONCE ? (int32_t)count : AT_ONCE, error = 0, idle = 0;
  for (int32_t j = 0; j < size; j++)
    if (!equip(walks + j, graph, effort)) error = OUT_OF_MEMORY;
  for (int64_t next = 0; !error && idle < size;) {
    idle = 0;
    for (int32_t j = 0; j < size && !error; j++) {
      struct walk *walk = walks + j;
      if (walk->stage == OVER) finish(walk, &answers);
      if (walk->stage != IDLE) {
        if (!step(walk)) error = OUT_OF_MEMORY;
      } else if (next < count) {
        int32_t node = starts ? starts[next] : TOP;
        if (!start(walk, vectors + next * graph->codes.dim, node, next)) error = NOT_FINITE;
        next++;
      } else {
        idle++;
      }
    }
  }
  for (int32_t j = 0; j < size; j++) {
    if (compared) *compared += walks[j].compared;
    unequip(walks + j);
  }
  return error ? error : answers.lacking;
}

/* Of the sources; see service/index/native/library.py. */
API const char *magpie_digest(void) { return MAGPIE_DIGEST; }
