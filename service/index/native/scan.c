/* Searches among the nodes that a filter allows: one after the other, or list by list.
 */

#include "codes.h"

enum { BATCH = 64, BUCKETS = 1024 };

/* Nodes by the nearest of some centres; the nodes of a list follow each other. */
struct lists {
  const uint8_t *centres; /* (count, width): codes */
  const float *halves;    /* (count): half the squared length of each centre */
  const int32_t *starts;  /* (count + 1): the first node of each list */
  int32_t count;
  float length; /* of a usual vector */
};

static void value_centres(const struct lists *lists, int64_t width, const int16_t *query,
                          float scale, float *values) {
  struct codes centres = {.bytes = lists->centres, .width = width};
  for (int32_t start = 0; start < lists->count; start += BATCH) {
    int32_t nodes[BATCH], sums[BATCH];
    int32_t count = lists->count - start < BATCH ? lists->count - start : BATCH;
    for (int32_t j = 0; j < count; j++) nodes[j] = start + j;
    score_nodes(&centres, nodes, count, query, sums);
    for (int32_t j = 0; j < count; j++)
      values[start + j] = (float)sums[j] * scale - lists->halves[start + j];
  }
}

/* Nodes waiting to be compared, on their way to the cache. */
struct batch {
  int32_t nodes[BATCH];
  int32_t count;
};

static void compare(struct batch *batch, const struct codes *codes, const int16_t *whole,
                    struct pool *pool) {
  int32_t estimates[BATCH];
  score_nodes(codes, batch->nodes, batch->count, whole, estimates);
  for (int32_t i = 0; i < batch->count; i++) keep(pool, estimates[i], batch->nodes[i]);
  batch->count = 0;
}

/* Compare the codes of chosen nodes and score the best of them again; see magpie_walk.
 *
 * Exact where `wanted` is not less than `count` and there are full vectors. */
API int32_t magpie_scan(const struct codes *codes, const int32_t *nodes, int64_t count,
                        const float *vector, int32_t k, int32_t wanted, int64_t *rows,
                        float *scores) {
  float line[codes->width];
  int16_t whole[codes->width];
  struct query query = {.vector = vector, .line = line, .whole = whole};
  if (!turn(codes, &query)) return NOT_FINITE;
  if (wanted >= count) return rank_nodes(codes, &query, nodes, count, k, rows, scores);
  struct pool pool = {malloc((size_t)wanted * sizeof *pool.keys), 0, wanted};
  int32_t *best = malloc((size_t)wanted * sizeof *best);
  int32_t found = OUT_OF_MEMORY;
  if (pool.keys && best) {
    struct batch batch = {.count = 0};
    for (int64_t j = 0; j < count; j++) {
      fetch_code(codes, nodes[j]);
      batch.nodes[batch.count++] = nodes[j];
      if (batch.count == BATCH) compare(&batch, codes, whole, &pool);
    }
    compare(&batch, codes, whole, &pool);
    found = rank_pool(codes, &query, &pool, wanted, best, k, rows, scores);
  }
  free(pool.keys), free(best);
  return found;
}

/* What a list has to be worth to be looked into: the best lists with `budget` allowed nodes. */
static float least_value(const float *values, const int32_t *allowed, int32_t count,
                         int64_t budget) {
  float lowest = values[0], highest = values[0];
  for (int32_t j = 1; j < count; j++) {
    if (values[j] < lowest) lowest = values[j];
    if (values[j] > highest) highest = values[j];
  }
  float width = (highest - lowest) / BUCKETS + 1e-12f;
  int64_t in_bucket[BUCKETS + 1] = {0};
  for (int32_t j = 0; j < count; j++) {
    float below = (highest - values[j]) / width;
    in_bucket[below < BUCKETS ? (int32_t)below : BUCKETS] += allowed[j];
  }
  int32_t bucket = 0;
  for (int64_t sum = in_bucket[0]; sum < budget && bucket < BUCKETS;) sum += in_bucket[++bucket];
  return bucket < BUCKETS ? highest - (float)(bucket + 1) * width : lowest;
}

/* The bits of up to 64 nodes from `start`, the lowest first; nothing is read beyond `end`. */
static uint64_t word_at(const uint8_t *bits, int32_t start, int32_t end) {
  int32_t first = start >> 3, last = (end - 1) >> 3, bytes = last - first + 1;
  uint64_t word = 0;
  memcpy(&word, bits + first, (size_t)(bytes < 8 ? bytes : 8));
  word >>= start & 7;
  return end - start < 64 ? word & (((uint64_t)1 << (end - start)) - 1) : word;
}

/* Compare the nodes of [start, end) that are allowed. */
static void scan_list(struct batch *batch, const struct codes *codes, const uint8_t *bits,
                      int32_t start, int32_t end, const int16_t *whole, struct pool *pool) {
  /* 56 at a time: a word that starts within a byte holds no more for sure. */
  for (int32_t node = start; node < end; node += 56) {
    int32_t stop = end - node < 56 ? end : node + 56;
    for (uint64_t word = word_at(bits, node, stop); word; word &= word - 1) {
      int32_t found = node + __builtin_ctzll(word);
      fetch_code(codes, found);
      batch->nodes[batch->count++] = found;
      if (batch->count == BATCH) compare(batch, codes, whole, pool);
    }
  }
}

/* Look into the lists nearest to a query until `budget` allowed nodes were compared; see
 * magpie_walk.
 *
 * bits: one a node, lowest first; allowed: how many are set in each list. */
API int32_t magpie_scan_lists(const struct codes *codes, const struct lists *lists,
                              const uint8_t *bits, const int32_t *allowed, int64_t budget,
                              const float *vector, int32_t k, int32_t wanted, int64_t *rows,
                              float *scores) {
  float line[codes->width];
  int16_t whole[codes->width];
  struct query query = {.vector = vector, .line = line, .whole = whole};
  if (!turn(codes, &query)) return NOT_FINITE;
  double length = length_of(vector, codes->dim) * query.scale;
  float unit = length > 0 ? (float)(lists->length / length) : 0;
  struct pool pool = {malloc((size_t)wanted * sizeof *pool.keys), 0, wanted};
  int32_t *best = malloc((size_t)wanted * sizeof *best), found = OUT_OF_MEMORY;
  float *values = malloc((size_t)lists->count * sizeof *values);
  if (pool.keys && best && values) {
    value_centres(lists, codes->width, whole, unit, values);
    float least = least_value(values, allowed, lists->count, budget);
    struct batch batch = {.count = 0};
    for (int32_t j = 0; j < lists->count; j++)
      if (values[j] >= least && allowed[j])
        scan_list(&batch, codes, bits, lists->starts[j], lists->starts[j + 1], whole, &pool);
    compare(&batch, codes, whole, &pool);
    found = rank_pool(codes, &query, &pool, wanted, best, k, rows, scores);
  }
  free(pool.keys), free(best), free(values);
  return found;
}
