/* Items of an answer, put together from the lines of the item table: most of it is copied.
 *
 * A line is {"id":…,"text":…,"attributes":{…}} and a newline, see service/catalogue/table.py.
 */

#define _GNU_SOURCE
#include "codes.h"

/* Returned in place of a length. */
enum { NO_SUCH_ROW = -1, NOT_A_LINE = -2 };

static const char TEXT[] = "\",\"text\":", ATTRIBUTES[] = "\",\"attributes\":";
static const char SCORE[] = ",\"score\":", FIELDS[] = ",\"fields\":";

static char *put(char *to, const char *from, int64_t length) {
  memcpy(to, from, (size_t)length);
  return to + length;
}

/* Write `count` items as {"id":…,"score":…,"fields":{…} without a closing brace; how many bytes that
 * takes at most, which were written only if there is so much room, or an error.
 *
 * lines, offsets: of a table of `size` items; scores: numbers with commas between them; ends: where
 * each item ends in `out`. */
API int64_t magpie_items(const char *lines, const int64_t *offsets, int64_t size,
                         const int64_t *rows, int64_t count, const char *scores,
                         int64_t scores_length, int64_t room, char *out, int64_t *ends) {
  const char *scores_end = scores + scores_length;
  char *to = out;
  int64_t needed = scores_length + count * (int64_t)(sizeof SCORE + sizeof FIELDS);
  for (int64_t j = 0; j < count; j++) {
    if (rows[j] < 0 || rows[j] >= size) return NO_SUCH_ROW;
    __builtin_prefetch(offsets + rows[j]);
  }
  for (int64_t j = 0; j < count; j++) {
    int64_t length = offsets[rows[j] + 1] - offsets[rows[j]];
    fetch(lines + offsets[rows[j]], length);
    needed += length;
  }
  for (int64_t j = 0; j < count && needed <= room; j++) {
    const char *line = lines + offsets[rows[j]], *end = lines + offsets[rows[j] + 1];
    /* Neither can stand inside of what is quoted: JSON writes its quotes with a backslash. */
    const char *text = memmem(line, (size_t)(end - line), TEXT, sizeof TEXT - 1);
    if (!text) return NOT_A_LINE;
    const char *attributes = memmem(text, (size_t)(end - text), ATTRIBUTES, sizeof ATTRIBUTES - 1);
    if (!attributes) return NOT_A_LINE;
    const char *score = scores;
    while (scores < scores_end && *scores != ',') scores++;
    to = put(to, line, text + 1 - line);
    to = put(to, SCORE, sizeof SCORE - 1);
    to = put(to, score, scores - score);
    to = put(to, FIELDS, sizeof FIELDS - 1);
    attributes += sizeof ATTRIBUTES - 1;
    to = put(to, attributes, end - 2 - attributes);
    ends[j] = to - out;
    scores++;
  }
  return needed;
}
