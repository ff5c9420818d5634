/* An order of candidates that trades relevance against what the last few picks do not cover yet.
 *
 * service/recommend/diversity.py says what it is, and does the same where nothing was compiled.
 */

#include "codes.h"

#include <math.h>

/* Of a vector that is all but spanned by others the direction of the rest is rounding. */
static const float LEAST_LEFT = 1e-4f;
/* The length of a unit vector, however it is rounded. */
static const float WHOLE = 1.001f;

enum { MORE = 8 };

/* What unit vectors have outside the span of the last few picks. */
struct span {
  const float *vectors; /* (count, dim): of any length */
  int64_t count, dim;
  float *scales; /* (count): what makes each of them a unit vector */
  float *left;   /* (count): squared length of what is left of it */
  float *parts;  /* (window, count): its part along each direction of the window */
  float *along;  /* (count) */
  int64_t window, size;
  int64_t *places; /* (size): the picks */
  float *rests;    /* (size): what was left of each */
  float *weights;  /* (size, window): its parts */
};

/* Make unit vectors of all; the mean length of the first `count`. */
FOR_EACH_CPU
static float start_span(struct span *span, int64_t count) {
  double lengths = 0;
  for (int64_t j = 0; j < span->count; j++) {
    const float *vector = span->vectors + j * span->dim;
    float square = dot(vector, vector, span->dim), length = sqrtf(square);
    span->scales[j] = square > 0 ? 1 / length : 0;
    span->left[j] = square > 0;
    if (j < count) lengths += length;
  }
  memset(span->parts, 0, (size_t)(span->window * span->count) * sizeof *span->parts);
  return lengths > 0 ? (float)(lengths / (double)count) : 1;
}

/* Tell the vectors of [from, to) of a pick: by how much it widens the span, and which pick of a full
 * window is forgotten for it. Each has to be told of all picks in their order. */
FOR_EACH_CPU
static void widen(struct span *span, int64_t pick, int64_t from, int64_t to) {
  int64_t count = span->count, place = span->places[pick];
  float *left = span->left, *slot = span->parts + pick % span->window * count;
  if (pick >= span->window) {
    for (int64_t j = from; j < to; j++) left[j] += slot[j] * slot[j];
    memset(slot + from, 0, (size_t)(to - from) * sizeof *slot);
  }
  float rest = span->rests[pick];
  if (rest < LEAST_LEFT) return;
  memset(span->along + from, 0, (size_t)(to - from) * sizeof *span->along);
  for (int64_t w = 0; w < span->window; w++) {
    const float *part = span->parts + w * count;
    float weight = span->weights[pick * span->window + w];
    if (weight == 0) continue;
    for (int64_t j = from; j < to; j++) span->along[j] += weight * part[j];
  }
  const float *vector = span->vectors + place * span->dim;
  dots(span->vectors + from * span->dim, to - from, vector, span->dim, slot + from);
  float scale = span->scales[place], size = 1 / sqrtf(rest);
  for (int64_t j = from; j < to; j++) {
    slot[j] = (slot[j] * scale * span->scales[j] - span->along[j]) * size;
    left[j] -= slot[j] * slot[j];
  }
}

/* Pick one of the vectors that were told of all picks before. */
static void add(struct span *span, int64_t place) {
  int64_t pick = span->size++, forgotten = pick % span->window;
  float *weights = span->weights + pick * span->window, old = 0;
  for (int64_t w = 0; w < span->window; w++) weights[w] = span->parts[w * span->count + place];
  if (pick >= span->window) old = weights[forgotten], weights[forgotten] = 0;
  span->places[pick] = place;
  span->rests[pick] = span->left[place] + old * old;
}

/* The best of the first `count`, and what it is worth. */
static int64_t best_of(const struct span *span, const float *gains, int64_t count, float weight,
                       float *most) {
  int64_t best = 0;
  *most = -INFINITY;
  for (int64_t j = 0; j < count; j++) {
    float rest = span->left[j] > 0 ? sqrtf(span->left[j]) : 0, value = gains[j] + weight * rest;
    if (value > *most) *most = value, best = j;
  }
  return best;
}

/* Pick `wanted` of the first `count` vectors. highest: of each gain and all behind it.
 *
 * Most gains are too small to be picked whatever is left of their vectors: these are told of the
 * picks only when they could be the next one. */
static void pick_best(struct span *span, float *gains, const float *highest, int64_t count,
                      float weight, int64_t wanted, int64_t *picks) {
  int64_t told = 0;
  for (int64_t j = 0; j < wanted; j++) {
    float most;
    int64_t best = best_of(span, gains, told, weight, &most);
    while (told < count && highest[told] + weight * WHOLE >= most) {
      int64_t more = told + MORE < count ? told + MORE : count;
      for (int64_t pick = 0; pick < span->size; pick++) widen(span, pick, told, more);
      told = more;
      best = best_of(span, gains, told, weight, &most);
    }
    picks[j] = best;
    gains[best] = -INFINITY;
    if (j + 1 == wanted) break;
    add(span, best);
    widen(span, span->size - 1, 0, told);
  }
}

/* Pick the first `wanted` of `count` candidates; 0, or an error.
 *
 * vectors: float32 (count + before, dim), the last ones picked earlier, the oldest first; scores:
 * float32 (count); share: of a score, as a cosine, in what a pick is worth; probe: length of what
 * the scores are products with, 0 where that is as long as a usual candidate; weight: of what is
 * not covered. */
API int32_t magpie_vary(const float *vectors, int64_t count, int64_t before, int64_t dim,
                        const float *scores, float share, float probe, float weight,
                        int64_t window, int64_t wanted, int64_t *picks) {
  int64_t every = count + before, most = before + wanted;
  size_t numbers = (size_t)(every * (5 + window) + most * (1 + window));
  int64_t *places = malloc((size_t)most * sizeof *places + numbers * sizeof(float));
  if (!places) return OUT_OF_MEMORY;
  struct span span = {.vectors = vectors, .count = every, .dim = dim, .window = window};
  span.places = places;
  span.scales = (float *)(places + most), span.left = span.scales + every;
  span.along = span.left + every, span.parts = span.along + every;
  span.rests = span.parts + window * every, span.weights = span.rests + most;
  float *gains = span.weights + most * window, *highest = gains + every;
  float length = start_span(&span, count), least = -INFINITY;
  for (int64_t j = count - 1; j >= 0; j--) {
    gains[j] = share * (scores[j] / ((probe > 0 ? probe : length) * length));
    highest[j] = least = gains[j] > least ? gains[j] : least;
  }
  for (int64_t j = count; j < every; j++) {
    add(&span, j);
    widen(&span, span.size - 1, count, every);
  }
  pick_best(&span, gains, highest, count, weight, wanted, picks);
  free(places);
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
