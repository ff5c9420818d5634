/* Sums of products: codes with a query in whole numbers, and vectors with one another.
 */

#ifndef MAGPIE_SUMS_H
#define MAGPIE_SUMS_H

#include <stdint.h>

#if defined(__x86_64__) && defined(__GNUC__)
#define HAS_WHOLE_NUMBER_SUMS
#include <immintrin.h>
#endif

/* The same loop for what processors can do, chosen when the library is loaded. */
#if defined(__x86_64__) && defined(__GLIBC__) && defined(__GNUC__) && !defined(__clang__)
#define FOR_EACH_CPU __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define FOR_EACH_CPU
#endif

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

FOR_EACH_CPU
static void score_nodes_anywhere(const struct codes *codes, const int32_t *nodes, int32_t count,
                                 const int16_t *query, int32_t *scores) {
  int64_t width = codes->width;
  for (int32_t j = 0; j < count; j++) {
    const uint8_t *code = codes->bytes + nodes[j] * width;
    int32_t sum = 0;
    for (int64_t i = 0; i < width; i++) sum += code[i] * query[i];
    scores[j] = sum;
  }
}

static void (*score_nodes)(const struct codes *, const int32_t *, int32_t, const int16_t *,
                           int32_t *) = score_nodes_anywhere;

#ifdef HAS_WHOLE_NUMBER_SUMS
/* Four codes at a time, so that adding up across a register is shared by them. */
__attribute__((target("avx512f,avx512bw,avx512vl,avx512vnni")))
static void score_nodes_vnni(const struct codes *codes, const int32_t *nodes, int32_t count,
                             const int16_t *query, int32_t *scores) {
  int64_t width = codes->width, even = width & ~(int64_t)31;
  __mmask32 rest = (__mmask32)(((uint64_t)1 << (width & 31)) - 1);
  for (int32_t j = 0; j < count; j += 4) {
    const uint8_t *code[4];
    __m512i sum[4];
    for (int32_t r = 0; r < 4; r++) {
      code[r] = codes->bytes + nodes[j + r < count ? j + r : count - 1] * width;
      sum[r] = _mm512_setzero_si512();
    }
    for (int64_t i = 0; i < even; i += 32) {
      __m512i part = _mm512_loadu_si512(query + i);
      for (int32_t r = 0; r < 4; r++) {
        __m256i bytes = _mm256_loadu_si256((const __m256i *)(code[r] + i));
        sum[r] = _mm512_dpwssd_epi32(sum[r], _mm512_cvtepu8_epi16(bytes), part);
      }
    }
    if (rest) {
      __m512i part = _mm512_maskz_loadu_epi16(rest, query + even);
      for (int32_t r = 0; r < 4; r++) {
        __m256i bytes = _mm256_maskz_loadu_epi8(rest, code[r] + even);
        sum[r] = _mm512_dpwssd_epi32(sum[r], _mm512_cvtepu8_epi16(bytes), part);
      }
    }
    __m512i one = _mm512_add_epi32(_mm512_unpacklo_epi32(sum[0], sum[1]),
                                   _mm512_unpackhi_epi32(sum[0], sum[1]));
    __m512i two = _mm512_add_epi32(_mm512_unpacklo_epi32(sum[2], sum[3]),
                                   _mm512_unpackhi_epi32(sum[2], sum[3]));
    __m512i all = _mm512_add_epi32(_mm512_unpacklo_epi64(one, two),
                                   _mm512_unpackhi_epi64(one, two));
    __m256i half = _mm256_add_epi32(_mm512_castsi512_si256(all),
                                    _mm512_extracti64x4_epi64(all, 1));
    __m128i four = _mm_add_epi32(_mm256_castsi256_si128(half),
                                 _mm256_extracti128_si256(half, 1));
    int32_t left = count - j < 4 ? count - j : 4;
    _mm_mask_storeu_epi32(scores + j, (__mmask8)((1 << left) - 1), four);
  }
}

/* The same sums where a processor multiplies and adds 16-bit numbers in one step. */
__attribute__((constructor)) static void choose_score_nodes(void) {
  if (__builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
      __builtin_cpu_supports("avx512vnni"))
    score_nodes = score_nodes_vnni;
}
#endif

FOR_EACH_CPU
static float dot(const float *one, const float *other, int64_t count) {
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < count; i++) sum += one[i] * other[i];
  return sum;
}

/* The length of a vector, of which the squares may be beyond what a float holds. */
FOR_EACH_CPU
static double length_of(const float *vector, int64_t dim) {
  double squares = 0;
#pragma omp simd reduction(+ : squares)
  for (int64_t i = 0; i < dim; i++) squares += (double)vector[i] * vector[i];
  return __builtin_sqrt(squares);
}

/* The dot products of four rows with one vector: one sum need not wait for the other. */
FOR_EACH_CPU
static void dot_four(const float *const rows[4], const float *vector, int64_t dim, float *out) {
  const float *a = rows[0], *b = rows[1], *c = rows[2], *d = rows[3];
  float sum_a = 0, sum_b = 0, sum_c = 0, sum_d = 0;
#pragma omp simd reduction(+ : sum_a, sum_b, sum_c, sum_d)
  for (int64_t i = 0; i < dim; i++) {
    sum_a += a[i] * vector[i];
    sum_b += b[i] * vector[i];
    sum_c += c[i] * vector[i];
    sum_d += d[i] * vector[i];
  }
  out[0] = sum_a, out[1] = sum_b, out[2] = sum_c, out[3] = sum_d;
}

/* The dot products of all rows of a matrix with one vector. */
static void dots(const float *rows, int64_t count, const float *vector, int64_t dim, float *out) {
  int64_t j = 0;
  for (; j + 4 <= count; j += 4) {
    const float *row = rows + j * dim;
    const float *const four[4] = {row, row + dim, row + 2 * dim, row + 3 * dim};
    dot_four(four, vector, dim, out + j);
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

#endif
