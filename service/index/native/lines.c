/* Items of an answer, put together from the lines of the item table: most of it is copied. What they
 * have in common with others. And the row of an id.
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

/* What is between two places. */
struct piece {
  const char *start, *end;
};

/* One of the pairs of an object, in JSON without blanks. */
struct attribute {
  struct piece key, value;
};

static bool is_same(struct piece one, struct piece other) {
  ptrdiff_t length = one.end - one.start;
  return other.end - other.start == length && !memcmp(one.start, other.start, (size_t)length);
}

/* Behind the string that starts here, or the end of all where it does not end. */
static const char *behind_string(const char *at, const char *end) {
  for (at++; at < end; at++)
    if (*at == '\\')
      at++;
    else if (*at == '"')
      return at + 1;
  return end;
}

/* Behind the value that starts here: a string, a list of strings, or something shorter. */
static const char *behind_value(const char *at, const char *end) {
  bool is_list = *at == '[';
  while (at < end && *at != ']' && (is_list || (*at != ',' && *at != '}')))
    at = *at == '"' ? behind_string(at, end) : at + 1;
  return is_list && at < end ? at + 1 : at;
}

/* The next pair from `*at` on, behind which it is put; whether there is one. */
static bool next_attribute(const char **at, const char *end, struct attribute *found) {
  const char *start = *at;
  if (start < end && *start == ',') start++;
  if (start >= end || *start != '"') return false;
  found->key = (struct piece){start, behind_string(start, end)};
  start = found->key.end + 1;
  if (start >= end) return false;
  found->value = (struct piece){start, behind_value(start, end)};
  *at = found->value.end;
  return true;
}

/* The next string of a value from `*at` on, which may be a list; whether there is one. */
static bool next_string(const char **at, const char *end, struct piece *found) {
  const char *start = *at;
  if (start < end && (*start == '[' || *start == ',')) start++;
  if (start >= end || *start != '"') return false;
  *found = (struct piece){start, behind_string(start, end)};
  *at = found->end;
  return true;
}

static bool has_string(struct piece value, struct piece wanted) {
  struct piece string;
  while (next_string(&value.start, value.end, &string))
    if (is_same(string, wanted)) return true;
  return false;
}

/* The pair of an object with a key, looked for from `*at` on first: of two objects the keys come in
 * the same order. Whether there is one. */
static bool find_attribute(struct piece object, const char **at, struct piece key,
                           struct attribute *found) {
  for (const char *from = *at; next_attribute(&from, object.end, found);)
    if (is_same(found->key, key)) {
      *at = from;
      return true;
    }
  for (const char *from = object.start, *end = *at;
       from < end && next_attribute(&from, object.end, found);)
    if (is_same(found->key, key)) return true;
  return false;
}

/* Whether a value of a key says something: see `magpie_shared`. */
static bool is_telling(struct piece columns, struct piece key, struct piece value) {
  for (const char *line = columns.start; line < columns.end;) {
    const char *stop = memchr(line, '\n', (size_t)(columns.end - line));
    for (struct piece field = {line, line}; field.start < stop; field.start = field.end + 1) {
      field.end = memchr(field.start, '\t', (size_t)(stop - field.start));
      if (field.start == line && !is_same(field, key)) break;
      if (field.start != line && is_same(field, value)) return false;
      if (field.end + 1 == stop) return true;
    }
    line = stop + 1;
  }
  return false;
}

/* Behind a word that has to stand here, or NULL. */
static const char *behind_word(const char *at, const char *end, const char *word, size_t length) {
  return at && (size_t)(end - at) >= length && !memcmp(at, word, length) ? at + length : NULL;
}

/* The pairs of an item without the braces around them; nothing where the line is no item. */
static struct piece attributes_of(const char *lines, const int64_t *offsets, int64_t row) {
  const char *at = lines + offsets[row], *end = lines + offsets[row + 1];
  /* The quote that TEXT and ATTRIBUTES begin with is the end of the string before. */
  at = behind_word(at, end, ID, sizeof ID - 1);
  if (at) at = behind_word(behind_string(at, end) - 1, end, TEXT, sizeof TEXT - 1);
  if (at) at = behind_word(behind_string(at, end) - 1, end, ATTRIBUTES, sizeof ATTRIBUTES - 1);
  return at && end - at >= 4 ? (struct piece){at + 1, end - 3} : (struct piece){NULL, NULL};
}

static char *put_shared(char *to, struct piece ours, struct piece theirs, struct piece columns) {
  const char *at = ours.start, *place = theirs.start, *start = to;
  struct attribute own, other;
  while (next_attribute(&at, ours.end, &own)) {
    if (*own.value.start != '"' && *own.value.start != '[') continue;
    if (!find_attribute(theirs, &place, own.key, &other)) continue;
    const char *string_at = own.value.start;
    int64_t count = 0;
    for (struct piece string; next_string(&string_at, own.value.end, &string);) {
      if (!has_string(other.value, string) || !is_telling(columns, own.key, string)) continue;
      if (!count++) {
        if (to != start) *to++ = ',';
        to = put(to, own.key.start, own.key.end - own.key.start);
        to = put(to, ":[", 2);
      } else {
        *to++ = ',';
      }
      to = put(to, string.start, string.end - string.start);
    }
    if (count) *to++ = ']';
  }
  return to;
}

/* Write what each item has in common with a seed of its own as [{"key":["value",…],…},…]; how many
 * bytes were written or, where that is more than there is room for, may be needed; or an error.
 *
 * seeds: (count), a row for each item, or -1; columns: a line for each key that counts, of the key
 * and of the values that do not, all in JSON and with a tab behind each. */
API int64_t magpie_shared(const char *lines, const int64_t *offsets, int64_t size,
                          const int64_t *rows, const int64_t *seeds, int64_t count,
                          const char *columns, int64_t columns_length, int64_t room, char *out) {
  struct piece counting = {columns, columns + columns_length};
  int64_t needed = 2;
  for (int64_t j = 0; j < count; j++) {
    if (rows[j] < 0 || rows[j] >= size || seeds[j] >= size) return NO_SUCH_ROW;
    __builtin_prefetch(offsets + rows[j]);
  }
  for (int64_t j = 0; j < count; j++) {
    int64_t length = offsets[rows[j] + 1] - offsets[rows[j]];
    fetch(lines + offsets[rows[j]], length);
    /* A value gets at most a pair of brackets, where it has at least its quotes. */
    needed += 2 * length + 3;
  }
  if (needed > room) return needed;
  char *to = put(out, "[", 1);
  for (int64_t j = 0; j < count; j++) {
    if (j) *to++ = ',';
    *to++ = '{';
    if (seeds[j] >= 0) {
      struct piece ours = attributes_of(lines, offsets, rows[j]);
      struct piece theirs = attributes_of(lines, offsets, seeds[j]);
      if (!ours.start || !theirs.start) return NOT_A_LINE;
      to = put_shared(to, ours, theirs, counting);
    }
    *to++ = '}';
  }
  *to++ = ']';
  return to - out;
}
