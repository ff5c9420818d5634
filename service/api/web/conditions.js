// The filters that a catalogue offers, and how those that are set become a filter of the service.

const VALUES_MAX = 200;
const DATE_LIKE = /(^|_)(at|on|date|time|timestamp|created|updated)$/i;

/** What is chosen for one attribute: values it must have, or must not, and bounds of a number. */
export const NOTHING = Object.freeze({ any: [], not: [], min: null, max: null });

/** How many conditions are set. */
export const countOf = (filters) =>
  Object.values(filters).reduce((sum, { any, not, min, max }) =>
    sum + any.length + not.length + (min !== null) + (max !== null), 0);

/**
 * The attributes that a visitor may filter by, as [{key, kind, values}].
 *
 * kind is "values" (few enough to list), "word" (too many: one is typed), or "number"; one with
 * numbers and words is there twice. What nearly every item has its own value of is left out.
 */
export function facetsOf(info, filterKey) {
  const facets = [];
  for (const [key, { kind, values, top }] of Object.entries(info.attributes ?? {})) {
    if (key === filterKey || kind === "text") continue;
    if (kind !== "keyword") facets.push({ key, kind: "number", values: [] });
    if (kind === "number") continue;
    const words = top.filter(([value]) => typeof value !== "number");
    const { items } = info.index;
    // More values than items: they stand in lists, such as tags.
    const isTelling = words.length ? words[0][1] > 1 : values < items / 2 || values > items;
    if (!isTelling || DATE_LIKE.test(key)) continue;
    const isListed = words.length > 0 && values <= VALUES_MAX && top.length === values;
    facets.push({ key, kind: isListed ? "values" : "word", values: words });
  }
  return facets;
}

/** {must, must_not} of the service's filter. */
export function filterOf(filters, info) {
  const must = [];
  const without = [];
  for (const [key, { any, not, min, max }] of Object.entries(filters)) {
    const values = (texts) => texts.flatMap((text) => typed(text, info.attributes?.[key]));
    if (any.length) must.push({ key, match: { any: values(any) } });
    if (not.length) without.push({ key, match: { any: values(not) } });
    const range = { ...(min === null ? {} : { gte: min }), ...(max === null ? {} : { lte: max }) };
    if (Object.keys(range).length) must.push({ key, range });
  }
  return { must, must_not: without };
}

/** An address holds texts; the catalogue knows which of its values are written like one. */
function typed(text, attribute) {
  const same = (attribute?.top ?? []).map(([value]) => value).filter((v) => String(v) === text);
  return same.length ? same : [text];
}
