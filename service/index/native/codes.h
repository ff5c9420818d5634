/* Codes of 8 bits a number, a query in whole numbers, and the best of what was compared.
 *
 * FAISS decodes every code to floats and waits for one row of memory after the other. Here the
 * query is turned into 16-bit numbers once, so that a code meets it in whole numbers, and rows are
 * asked for before they are needed. docs/benchmarks/index.md has the figures.
 *
 * A node is a place in the index. Everything here reads what its caller owns and keeps nothing, so
 * any number of threads may call. Nothing is checked: service/index/faiss_file.py has looked at
 * every link and every row when the index was opened.
 */

#ifndef MAGPIE_CODES_H
#define MAGPIE_CODES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "sums.h"

#define API __attribute__((visibility("default")))

/* Returned in place of a number of rows. */
enum { OUT_OF_MEMORY = -1, NOT_FINITE = -2 };
enum { CACHE_LINE = 64, ROWS_AHEAD = 16, FOLLOWED = 1 };

/* A query, along the axes, and as whole numbers. */
struct query {
  const float *vector;
  float *line;
  int16_t *whole;
  double scale;
};

/* The best nodes so far. A key is minus the score, the node, and in the last bit FOLLOWED. */
struct pool {
  int64_t *keys;
  int32_t size, room;
};

static void fetch(const void *start, int64_t bytes) {
  const char *at = start;
  for (int64_t i = 0; i < bytes; i += CACHE_LINE) __builtin_prefetch(at + i);
  __builtin_prefetch(at + bytes - 1);
}

static void fetch_code(const struct codes *codes, int32_t node) {
  fetch(codes->bytes + node * codes->width, codes->width);
}

/* Write a query along the axes, and as whole numbers at the largest scale that cannot overflow. */
FOR_EACH_CPU
static bool turn(const struct codes *codes, struct query *query) {
  float zero = 0, largest = 0;
  double sum = 0;
#pragma omp simd reduction(+ : zero)
  for (int64_t i = 0; i < codes->dim; i++) zero += 0 * query->vector[i];
  if (zero != 0) return false; /* something is NaN or infinite */
  if (codes->axes)
    dots(codes->axes, codes->width, query->vector, codes->dim, query->line);
  else
    memcpy(query->line, query->vector, (size_t)codes->width * sizeof *query->line);
#pragma omp simd reduction(max : largest) reduction(+ : sum)
  for (int64_t i = 0; i < codes->width; i++) {
    float weight = query->line[i] * codes->steps[i], size = weight < 0 ? -weight : weight;
    if (size > largest) largest = size;
    sum += size;
  }
  double by_one = 32000.0 / largest, by_sum = 8000000.0 / sum;
  query->scale = largest == 0 ? 0 : by_one < by_sum ? by_one : by_sum;
  for (int64_t i = 0; i < codes->width; i++) {
    double number = query->line[i] * codes->steps[i] * query->scale;
    query->whole[i] = (int16_t)(number < 0 ? number - 0.5 : number + 0.5);
  }
  return true;
}

static int32_t node_of(int64_t key) { return (int32_t)((uint64_t)(key & 0xffffffff) >> 1); }

/* Keep a node if there is room or it is better than the worst; its place, or the room if not. */
static int32_t keep(struct pool *pool, int32_t score, int32_t node) {
  int64_t key = -(int64_t)score * ((int64_t)1 << 32) + ((int64_t)node << 1);
  int32_t place = pool->size;
  if (place == pool->room) {
    place--;
    if (key >= pool->keys[place]) return pool->room;
  } else {
    pool->size++;
  }
  for (; place > 0 && pool->keys[place - 1] > key; place--)
    pool->keys[place] = pool->keys[place - 1];
  pool->keys[place] = key;
  return place;
}

/* Put a row into the k best, the lower row first among equals; how many there are now. */
static int32_t rank(int64_t *rows, float *scores, int32_t size, int32_t k, int64_t row,
                    float score) {
  int32_t place = size < k ? size++ : k;
  for (; place > 0 && (scores[place - 1] < score ||
                       (scores[place - 1] == score && rows[place - 1] > row));
       place--) {
    if (place == k) continue; /* the last one falls out */
    scores[place] = scores[place - 1];
    rows[place] = rows[place - 1];
  }
  if (place < k) scores[place] = score, rows[place] = row;
  return size;
}

static int64_t row_of(const struct codes *codes, int32_t node) {
  return codes->rows ? codes->rows[node] : node;
}

static const float *vector_of(const struct codes *codes, int32_t node) {
  return codes->vectors + row_of(codes, node) * codes->dim;
}

static void fetch_vector(const struct codes *codes, int32_t node) {
  const float *vector = vector_of(codes, node);
  fetch(vector, codes->dim * (int64_t)sizeof *vector);
}

static int32_t rank_by_vectors(const struct codes *codes, const struct query *query,
                               const int32_t *nodes, int64_t count, int32_t k, int64_t *rows,
                               float *scores) {
  int32_t size = 0;
  for (int64_t j = 0; j < count && j < ROWS_AHEAD; j++) fetch_vector(codes, nodes[j]);
  for (int64_t j = 0; j < count; j += 4) {
    const float *four[4];
    float found[4];
    for (int64_t r = 0; r < 4; r++) {
      four[r] = vector_of(codes, nodes[j + r < count ? j + r : count - 1]);
      if (j + r + ROWS_AHEAD < count) fetch_vector(codes, nodes[j + r + ROWS_AHEAD]);
    }
    dot_four(four, query->vector, codes->dim, found);
    for (int64_t r = 0; r < 4 && j + r < count; r++)
      size = rank(rows, scores, size, k, row_of(codes, nodes[j + r]), found[r]);
  }
  return size;
}

static int32_t rank_by_codes(const struct codes *codes, const struct query *query,
                             const int32_t *nodes, int64_t count, int32_t k, int64_t *rows,
                             float *scores) {
  float weights[codes->width], base = 0;
  for (int64_t i = 0; i < codes->width; i++) {
    base += query->line[i] * codes->lows[i];
    weights[i] = query->line[i] * codes->steps[i];
  }
  int32_t size = 0;
  for (int64_t j = 0; j < count; j++) {
    float rest = dot_code(codes->bytes + nodes[j] * codes->width, weights, codes->width);
    size = rank(rows, scores, size, k, row_of(codes, nodes[j]), base + rest);
  }
  return size;
}

/* Score nodes by their full vectors, or by their codes where those are all there is. */
static int32_t rank_nodes(const struct codes *codes, const struct query *query,
                          const int32_t *nodes, int64_t count, int32_t k, int64_t *rows,
                          float *scores) {
  return codes->vectors ? rank_by_vectors(codes, query, nodes, count, k, rows, scores)
                        : rank_by_codes(codes, query, nodes, count, k, rows, scores);
}

/* Score the best of a pool again; how many rows were found. `nodes` has room for them. */
static int32_t rank_pool(const struct codes *codes, const struct query *query,
                         const struct pool *pool, int32_t wanted, int32_t *nodes, int32_t k,
                         int64_t *rows, float *scores) {
  int32_t count = pool->size < wanted ? pool->size : wanted;
  for (int32_t j = 0; j < count; j++) nodes[j] = node_of(pool->keys[j]);
  return rank_nodes(codes, query, nodes, count, k, rows, scores);
}

#endif
