/* Scores by the best of several seeds, and what each seed adds to a score.
 *
 * service/recommend/liking.py says what it is, and does the same where nothing was compiled.
 */

#include "codes.h"

#include <math.h>

/* The vectors of a version, and of fresh items, whose rows follow. */
struct matrices {
  const float *frozen; /* (size, dim) */
  const float *fresh;
  int64_t size, dim;
};

/* What items are compared with: float32 (count, dim), and a weight for each. */
struct seeds {
  const float *vectors, *weights;
  int64_t count;
};

enum { NAMED = -1, BY_ROW = 32 };

/* Below every similarity of unit vectors. */
static const float REJECTED = -2.0f;

static const float *row_vector(const struct matrices *matrices, int64_t row) {
  int64_t slot = row - matrices->size;
  return slot < 0 ? matrices->frozen + row * matrices->dim : matrices->fresh + slot * matrices->dim;
}

/* The best weighted similarity of a vector to a seed, NaN where one is. `room`: one a seed. */
static float best_likeness(const struct seeds *seeds, const float *vector, int64_t dim,
                           float *room) {
  float best = -INFINITY, heaviest = 0;
  for (int64_t j = 0; j < seeds->count; j++)
    if (seeds->weights[j] > heaviest) heaviest = seeds->weights[j];
  dots(seeds->vectors, seeds->count, vector, dim, room);
  for (int64_t j = 0; j < seeds->count; j++) {
    float likeness = room[j] * (seeds->weights[j] / heaviest);
    if (best == best && !(likeness <= best)) best = likeness;
  }
  return best;
}

static float score_of(const struct seeds *liked, const struct seeds *disliked, const float *vector,
                      int64_t dim, float *room) {
  float liking = best_likeness(liked, vector, dim, room);
  if (!disliked->count) return liking;
  float disliking = best_likeness(disliked, vector, dim, room);
  return liking > disliking ? liking : REJECTED - disliking;
}

/* What sorts by falling score, then by row; a score that is none comes last. */
static uint64_t key_of(float score, int64_t row) {
  uint32_t bits = UINT32_MAX;
  if (isfinite(score)) {
    score += 0.0f; /* of the two zeros, one */
    memcpy(&bits, &score, sizeof bits);
    bits = bits >> 31 ? bits : ~(bits | (uint32_t)1 << 31);
  }
  return (uint64_t)bits << BY_ROW | (uint64_t)row;
}

static bool is_usable(uint64_t key) { return key >> BY_ROW != UINT32_MAX; }

static float score_in(uint64_t key) {
  uint32_t bits = (uint32_t)(key >> BY_ROW);
  bits = bits >> 31 ? bits : ~bits & ~((uint32_t)1 << 31);
  float score;
  memcpy(&score, &bits, sizeof score);
  return score;
}

static int compare_keys(const void *one, const void *other) {
  uint64_t a = *(const uint64_t *)one, b = *(const uint64_t *)other;
  return (a > b) - (a < b);
}

static bool is_among(int64_t row, const int64_t *rows, int64_t count) {
  for (int64_t j = 0; j < count; j++)
    if (rows[j] == row) return true;
  return false;
}

/* Score what was found, best first and nothing twice; how many are left, or an error.
 *
 * found, likeness: (count), -1 where there is none; hidden: rows to leave out; rows, scores,
 * vectors: room for all; unscored: how many had no usable score. likes, dislikes: float32 (…, dim). */
API int64_t magpie_best(const struct matrices *matrices, const int64_t *found,
                        const float *likeness, int64_t count, const int64_t *hidden,
                        int64_t hidden_count, const float *likes, const float *like_weights,
                        int64_t like_count, const float *dislikes, const float *dislike_weights,
                        int64_t dislike_count, int64_t *rows, float *scores, float *vectors,
                        int64_t *unscored) {
  struct seeds liked = {likes, like_weights, like_count};
  struct seeds disliked = {dislikes, dislike_weights, dislike_count};
  int64_t dim = matrices->dim, wanted = 0, kept = 0;
  int64_t seeds = like_count > dislike_count ? like_count : dislike_count;
  uint64_t *keys = malloc((size_t)count * sizeof *keys + (size_t)seeds * sizeof(float));
  if (!keys) return OUT_OF_MEMORY;
  float *room = (float *)(keys + count);
  *unscored = 0;
  for (int64_t j = 0; j < count; j++) {
    if (found[j] < 0 || is_among(found[j], hidden, hidden_count)) continue;
    if (isfinite(likeness[j]))
      rows[wanted++] = found[j];
    else
      ++*unscored;
  }
  for (int64_t j = 0; j < wanted && j < ROWS_AHEAD; j++)
    fetch(row_vector(matrices, rows[j]), dim * (int64_t)sizeof *vectors);
  for (int64_t j = 0; j < wanted; j++) {
    if (j + ROWS_AHEAD < wanted)
      fetch(row_vector(matrices, rows[j + ROWS_AHEAD]), dim * (int64_t)sizeof *vectors);
    float score = score_of(&liked, &disliked, row_vector(matrices, rows[j]), dim, room);
    keys[j] = key_of(score, rows[j]);
  }
  qsort(keys, (size_t)wanted, sizeof *keys, compare_keys);
  for (int64_t j = 0; j < wanted; j++) {
    if (j && keys[j] == keys[j - 1]) continue;
    if (!is_usable(keys[j])) {
      ++*unscored;
      continue;
    }
    rows[kept] = (int64_t)(keys[j] & UINT32_MAX);
    scores[kept] = score_in(keys[j]);
    memcpy(vectors + kept * dim, row_vector(matrices, rows[kept]), (size_t)dim * sizeof *vectors);
    kept++;
  }
  free(keys);
  return kept;
}

/* Split the largest of some values among them: what each adds to it, on average over all orders of
 * adding them. `order`: room for as many. */
static void split_best(float *values, int64_t count, int64_t *order) {
  for (int64_t j = 0; j < count; j++) {
    int64_t place = j;
    for (; place > 0 && values[order[place - 1]] > values[j]; place--)
      order[place] = order[place - 1];
    order[place] = j;
  }
  float before = 0, share = 0;
  for (int64_t j = 0; j < count; j++) {
    float value = values[order[j]];
    /* All that reach a step share it. */
    share += (value - before) / (float)(count - j);
    before = value;
    values[order[j]] = share;
  }
}

/* Name the largest shares that the parts of a wish have in the scores of items, to four places; how
 * many there are of all items together, or an error.
 *
 * items: float32 (count, dim); parts: float32 (part_count, dim); shown: how many to name for an item
 * at most, and `smallest` which; named, sizes: room for so many parts and shares of all items,
 * largest first within one; ends: (count), where those of each item end. */
API int64_t magpie_shares(const float *items, int64_t count, int64_t dim, const float *parts,
                          const float *weights, int64_t part_count, int32_t is_sum, int64_t shown,
                          double smallest, int64_t *named, double *sizes, int64_t *ends) {
  double *split = malloc((size_t)part_count * (sizeof *split + sizeof(int64_t) + sizeof(float)));
  if (!split) return OUT_OF_MEMORY;
  int64_t *order = (int64_t *)(split + part_count), size = 0;
  float *pulls = (float *)(order + part_count);
  for (int64_t j = 0; j < count; j++) {
    dots(parts, part_count, items + j * dim, dim, pulls);
    for (int64_t p = 0; p < part_count; p++) pulls[p] = pulls[p] > 0 ? pulls[p] * weights[p] : 0;
    if (!is_sum) split_best(pulls, part_count, order);
    float sum = 0;
    for (int64_t p = 0; p < part_count; p++) sum += pulls[p];
    for (int64_t p = 0; p < part_count; p++)
      split[p] = sum > 0 ? rint((double)(pulls[p] / sum) * 1e4) / 1e4 : 0;
    for (int64_t s = 0; s < shown && s < part_count; s++) {
      int64_t largest = 0;
      for (int64_t p = 1; p < part_count; p++)
        if (split[p] > split[largest]) largest = p;
      if (split[largest] < smallest) break;
      named[size] = largest, sizes[size] = split[largest];
      size++;
      split[largest] = NAMED;
    }
    ends[j] = size;
  }
  free(split);
  return size;
}
