/* An order of candidates that trades relevance against what the last few picks do not cover yet.
 *
 * service/recommend/diversity.py says what it is, and does the same where nothing was compiled.
 */

#include "codes.h"

#include <math.h>

/* What unit vectors have outside the span of the last few picks. */
struct span {
  const float *vectors; /* (count, dim): of any length */
  int64_t count, dim;
  float *scales; /* (count): what makes each of them a unit vector */
  float *left;   /* (count): squared length of what is left of it */
  float *parts;  /* (window, count): its part along each direction of the window */
  float *along;  /* (count) */
  int64_t window, next;
};

/* Of a vector that is all but spanned by others the direction of the rest is rounding. */
static const float LEAST_LEFT = 1e-4f;

FOR_EACH_CPU
static void start_span(struct span *span) {
  for (int64_t j = 0; j < span->count; j++) {
    const float *vector = span->vectors + j * span->dim;
    float square = dot(vector, vector, span->dim);
    span->scales[j] = square > 0 ? 1 / sqrtf(square) : 0;
    span->left[j] = square > 0;
  }
  memset(span->parts, 0, (size_t)(span->window * span->count) * sizeof *span->parts);
  span->next = 0;
}

/* Widen the span by one of the vectors, and forget the oldest one of a full window. */
FOR_EACH_CPU
static void widen(struct span *span, int64_t place) {
  int64_t count = span->count;
  float *left = span->left, *slot = span->parts + span->next % span->window * count;
  if (span->next++ >= span->window) {
    for (int64_t j = 0; j < count; j++) left[j] += slot[j] * slot[j];
    memset(slot, 0, (size_t)count * sizeof *slot);
  }
  float rest = left[place];
  if (rest < LEAST_LEFT) return;
  memset(span->along, 0, (size_t)count * sizeof *span->along);
  for (int64_t w = 0; w < span->window; w++) {
    const float *part = span->parts + w * count;
    float weight = part[place];
    if (weight == 0) continue;
    for (int64_t j = 0; j < count; j++) span->along[j] += weight * part[j];
  }
  dots(span->vectors, count, span->vectors + place * span->dim, span->dim, slot);
  float scale = span->scales[place], size = 1 / sqrtf(rest);
  for (int64_t j = 0; j < count; j++) {
    slot[j] = (slot[j] * scale * span->scales[j] - span->along[j]) * size;
    left[j] -= slot[j] * slot[j];
  }
}

static int64_t best_of(const struct span *span, const float *gains, int64_t count, float weight) {
  int64_t best = 0;
  float most = -INFINITY;
  for (int64_t j = 0; j < count; j++) {
    float rest = span->left[j] > 0 ? sqrtf(span->left[j]) : 0, value = gains[j] + weight * rest;
    if (value > most) most = value, best = j;
  }
  return best;
}

/* Pick the first `wanted` of `count` candidates; 0, or an error.
 *
 * vectors: float32 (count + before, dim), the last ones picked earlier, the oldest first; gains:
 * float32 (count), what a pick is worth by itself, overwritten; weight: of what is not covered. */
API int32_t magpie_vary(const float *vectors, int64_t count, int64_t before, int64_t dim,
                        float *gains, float weight, int64_t window, int64_t wanted,
                        int64_t *picks) {
  int64_t every = count + before;
  float *numbers = malloc((size_t)(every * (3 + window)) * sizeof *numbers);
  if (!numbers) return OUT_OF_MEMORY;
  struct span span = {.vectors = vectors, .count = every, .dim = dim, .window = window};
  span.scales = numbers, span.left = numbers + every, span.along = numbers + 2 * every;
  span.parts = numbers + 3 * every;
  start_span(&span);
  for (int64_t j = count; j < every; j++) widen(&span, j);
  for (int64_t j = 0; j < wanted; j++) {
    int64_t best = picks[j] = best_of(&span, gains, count, weight);
    gains[best] = -INFINITY;
    if (j + 1 < wanted) widen(&span, best);
  }
  free(numbers);
  return 0;
}

/* Whether one of some vectors, float32 (count, dim) of any length, is nearly the same as the one
 * before it: 1, or 0. limit: the cosine from which on it is. */
API int32_t magpie_has_like(const float *vectors, int64_t count, int64_t dim, float limit) {
  float before = count ? dot(vectors, vectors, dim) : 0;
  for (int64_t j = 1; j < count; j++) {
    const float *vector = vectors + j * dim;
    float square = dot(vector, vector, dim);
    if (dot(vector, vector - dim, dim) > limit * sqrtf(square * before)) return 1;
    before = square;
  }
  return 0;
}
