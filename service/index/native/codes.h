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

#define API __attribute__((visibility("default")))

/* The same loop for what processors can do, chosen when the library is loaded. */
#if defined(__x86_64__) && defined(__GLIBC__) && defined(__GNUC__) && !defined(__clang__)
#define FOR_EACH_CPU __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define FOR_EACH_CPU
#endif

/* Returned in place of a number of rows. */
enum { OUT_OF_MEMORY = -1, NOT_FINITE = -2 };
enum { CACHE_LINE = 64, ROWS_AHEAD = 16 };

/* Codes, what they stand for, and the vectors behind them. */
struct codes {
  const uint8_t *bytes;  /* (count, width): a byte b of a number stands for low + b * step */
  const float *lows;     /* (width) */
  const float *steps;    /* (width) */
  const float *axes;     /* (width, dim), or NULL where the numbers are those of the vectors */
  const int32_t *rows;   /* (count): the row of each node, or NULL where they are the same */
  const float *vectors;  /* (rows, dim): scores come from these; NULL: from the codes */
  int64_t width, dim;
};

/* A query, along the axes, and as whole numbers. */
struct query {
  const float *vector;
  float *line;
  int16_t *whole;
  double scale;
};

/* The best nodes so far. A key is minus the score, the node, and whether it was followed. */
struct pool {
  int64_t *keys;
  int32_t size, room;
};

FOR_EACH_CPU
static void score_nodes(const struct codes *codes, const int32_t *nodes, int32_t count,
                        const int16_t *query, int32_t *scores) {
  int64_t width = codes->width;
  for (int32_t j = 0; j < count; j++) {
    const uint8_t *code = codes->bytes + nodes[j] * width;
    int32_t sum = 0;
    for (int64_t i = 0; i < width; i++) sum += code[i] * query[i];
    scores[j] = sum;
  }
}

FOR_EACH_CPU
static float dot(const float *one, const float *other, int64_t count) {
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < count; i++) sum += one[i] * other[i];
  return sum;
}

/* The dot products of some rows with one vector, four at a time: one sum waits for the other. */
FOR_EACH_CPU
static void dots(const float *rows, int64_t count, const float *vector, int64_t dim, float *out) {
  int64_t j = 0;
  for (; j + 4 <= count; j += 4) {
    const float *a = rows + j * dim, *b = a + dim, *c = b + dim, *d = c + dim;
    float sum_a = 0, sum_b = 0, sum_c = 0, sum_d = 0;
#pragma omp simd reduction(+ : sum_a, sum_b, sum_c, sum_d)
    for (int64_t i = 0; i < dim; i++) {
      sum_a += a[i] * vector[i];
      sum_b += b[i] * vector[i];
      sum_c += c[i] * vector[i];
      sum_d += d[i] * vector[i];
    }
    out[j] = sum_a, out[j + 1] = sum_b, out[j + 2] = sum_c, out[j + 3] = sum_d;
  }
  for (; j < count; j++) out[j] = dot(rows + j * dim, vector, dim);
}

FOR_EACH_CPU
static float dot_code(const uint8_t *code, const float *weights, int64_t width) {
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < width; i++) sum += code[i] * weights[i];
  return sum;
}

static void fetch(const void *start, int64_t bytes) {
  const char *at = start;
  for (int64_t i = 0; i < bytes; i += CACHE_LINE) __builtin_prefetch(at + i);
  __builtin_prefetch(at + bytes - 1);
}

static void fetch_code(const struct codes *codes, int32_t node) {
  fetch(codes->bytes + node * codes->width, codes->width);
}

/* Write a query along the axes, and as whole numbers at the largest scale that cannot overflow. */
static bool turn(const struct codes *codes, struct query *query) {
  float zero = 0, largest = 0;
  double sum = 0;
  for (int64_t i = 0; i < codes->dim; i++) zero += 0 * query->vector[i];
  if (zero != 0) return false; /* something is NaN or infinite */
  if (codes->axes)
    dots(codes->axes, codes->width, query->vector, codes->dim, query->line);
  else
    memcpy(query->line, query->vector, (size_t)codes->width * sizeof *query->line);
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

static void fetch_row(const struct codes *codes, int32_t node) {
  const float *row = codes->vectors + row_of(codes, node) * codes->dim;
  fetch(row, codes->dim * (int64_t)sizeof *row);
}

static int32_t rank_by_vectors(const struct codes *codes, const struct query *query,
                               const int32_t *nodes, int64_t count, int32_t k, int64_t *rows,
                               float *scores) {
  int32_t size = 0;
  for (int64_t j = 0; j < count && j < ROWS_AHEAD; j++) fetch_row(codes, nodes[j]);
  for (int64_t j = 0; j < count; j++) {
    if (j + ROWS_AHEAD < count) fetch_row(codes, nodes[j + ROWS_AHEAD]);
    int64_t row = row_of(codes, nodes[j]);
    float score = dot(codes->vectors + row * codes->dim, query->vector, codes->dim);
    size = rank(rows, scores, size, k, row, score);
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
