/* Items of an answer, put together from the lines of the item table: most of it is copied. And the
 * row of an id.
 *
 * A line is {"id":…,"text":…,"attributes":{…}} and a newline, see service/catalogue/table.py.
 */

#define _GNU_SOURCE
#include "codes.h"

#include <math.h>
#include <stdio.h>

/* Returned in place of a length. */
enum { NO_SUCH_ROW = -1, NOT_A_LINE = -2 };

static const char ID[] = "{\"id\":", TEXT[] = "\",\"text\":", ATTRIBUTES[] = "\",\"attributes\":";
static const char SCORE[] = ",\"score\":", FIELDS[] = ",\"fields\":";

static char *put(char *to, const char *from, int64_t length) {
  memcpy(to, from, (size_t)length);
  return to + length;
}

/* What a number takes at most, and the largest that is written digit by digit. */
enum { NUMBER_BYTES = 32, PLAIN_MAX = 1000000000 };

/* Write a score to six digits behind the point, without the zeros at their end. */
static char *put_score(char *to, double score) {
  if (!isfinite(score)) return put(to, "null", 4);
  if (fabs(score) >= PLAIN_MAX) return to + snprintf(to, NUMBER_BYTES, "%.17g", score);
  int64_t millionths = llrint(score * 1e6);
  if (millionths < 0) {
    *to++ = '-';
    millionths = -millionths;
  }
  char digits[NUMBER_BYTES];
  int32_t count = 0;
  for (int64_t whole = millionths / 1000000; whole || !count; whole /= 10)
    digits[count++] = (char)('0' + whole % 10);
  while (count) *to++ = digits[--count];
  *to++ = '.';
  int32_t rest = (int32_t)(millionths % 1000000);
  for (int32_t unit = 100000; unit && (rest || unit == 100000); unit /= 10) {
    *to++ = (char)('0' + rest / unit);
    rest %= unit;
  }
  return to;
}

/* Write `count` items as {"id":…,"score":…,"fields":{…}…} with commas between them; how many bytes
 * were written or, where that is more than there is room for, may be needed; or an error.
 *
 * lines, offsets: of a table of `size` items; tails: what each item has behind its fields, up to
 * where tail_ends says, or NULL. */
API int64_t magpie_items(const char *lines, const int64_t *offsets, int64_t size,
                         const int64_t *rows, const double *scores, int64_t count,
                         const char *tails, const int64_t *tail_ends, int64_t room, char *out) {
  char *to = out;
  int64_t needed = count * (int64_t)(sizeof SCORE + sizeof FIELDS + NUMBER_BYTES);
  if (tails && count) needed += tail_ends[count - 1];
  for (int64_t j = 0; j < count; j++) {
    if (rows[j] < 0 || rows[j] >= size) return NO_SUCH_ROW;
    __builtin_prefetch(offsets + rows[j]);
  }
  for (int64_t j = 0; j < count; j++) {
    int64_t length = offsets[rows[j] + 1] - offsets[rows[j]];
    fetch(lines + offsets[rows[j]], length);
    needed += length;
  }
  if (needed > room) return needed;
  for (int64_t j = 0; j < count; j++) {
    const char *line = lines + offsets[rows[j]], *end = lines + offsets[rows[j] + 1];
    /* Neither can stand inside of what is quoted: JSON writes its quotes with a backslash. */
    const char *text = memmem(line, (size_t)(end - line), TEXT, sizeof TEXT - 1);
    if (!text) return NOT_A_LINE;
    const char *attributes = memmem(text, (size_t)(end - text), ATTRIBUTES, sizeof ATTRIBUTES - 1);
    if (!attributes) return NOT_A_LINE;
    attributes += sizeof ATTRIBUTES - 1;
    if (j) *to++ = ',';
    to = put(to, line, text + 1 - line);
    to = put(to, SCORE, sizeof SCORE - 1);
    to = put_score(to, scores[j]);
    to = put(to, FIELDS, sizeof FIELDS - 1);
    to = put(to, attributes, end - 2 - attributes);
    if (tails) {
      int64_t from = j ? tail_ends[j - 1] : 0;
      to = put(to, tails + from, tail_ends[j] - from);
    }
    *to++ = '}';
  }
  return to - out;
}

/* The row of an id, or NO_SUCH_ROW.
 *
 * lines, offsets: of a table of `size` items; hashes: ascending; rows: the row of each of them;
 * hash: of the id; id: as JSON, of `length` bytes. */
API int64_t magpie_row(const char *lines, const int64_t *offsets, int64_t size,
                       const uint64_t *hashes, const int64_t *rows, uint64_t hash, const char *id,
                       int64_t length) {
  /* Hashes are spread evenly, so this one cannot be far from its share of all. */
  int64_t at = (int64_t)((unsigned __int128)hash * (uint64_t)size >> 64);
  int64_t low = at, high = at, step = 8;
  for (; low > 0 && hashes[low - 1] >= hash; step *= 2) low = low > step ? low - step : 0;
  for (step = 8; high < size && hashes[high] < hash; step *= 2)
    high = high < size - step ? high + step : size;
  while (low < high) {
    int64_t middle = low + (high - low) / 2;
    if (hashes[middle] < hash) low = middle + 1;
    else high = middle;
  }
  for (; low < size && hashes[low] == hash; low++) {
    int64_t row = rows[low];
    if (row < 0 || row >= size) return NO_SUCH_ROW;
    const char *line = lines + offsets[row] + sizeof ID - 1;
    /* The quote at the end of an id is the first one of TEXT. */
    int64_t needed = (int64_t)(sizeof ID + sizeof TEXT) + length;
    if (offsets[row + 1] - offsets[row] < needed || memcmp(line, id, (size_t)length)) continue;
    if (!memcmp(line + length - 1, TEXT, sizeof TEXT - 1)) return row;
  }
  return NO_SUCH_ROW;
}
