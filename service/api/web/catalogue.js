// Any catalogue fits: which of its fields is the title, the picture, the filter.

const TITLES = ["title", "name", "headline", "label", "caption", "标题", "名称"];
const DESCRIPTIONS = ["description", "intro", "summary", "abstract", "subtitle", "text", "简介"];
const IMAGES = [
  "image_url", "image", "thumbnail_url", "thumbnail", "picture", "photo", "poster_url",
];
const CATEGORIES = [
  "category", "categories", "genre", "genres", "classification", "type", "topic", "theme",
  "section", "department", "分类",
];
const DATE_LIKE = /(^|_)(at|on|date|time|timestamp|created|updated)$/i;
const LOCATOR_LIKE = /(^|_)(id|ids|url|uri|href|acno|sku|ean|isbn)$/i;
const LANGUAGE_LIKE = /^(lang|language|locale)$/i;
const ACRONYMS = new Set(["diy", "tv", "uk", "us", "usa", "id", "url"]);
const SMALL_WORDS = new Set(
  ["a", "and", "at", "by", "for", "from", "in", "of", "on", "or", "the", "to", "with"],
);
const HAN = /\p{Script=Han}/u;
const KANA = /[\p{Script=Hiragana}\p{Script=Katakana}]/u;

const isText = (value) => typeof value === "string" && value.trim() !== "";

/** The title of an item: a field named so, else its first short text, else its id. */
export function titleOf(item) {
  const fields = item.fields ?? {};
  const named = TITLES.find((key) => isText(fields[key]));
  if (named) return fields[named];
  const texts = Object.entries(fields).filter(
    ([key, value]) => isText(value) && !LOCATOR_LIKE.test(key) && !DATE_LIKE.test(key),
  );
  const short = texts.find(([, value]) => value.length <= 140) ?? texts[0];
  return short ? short[1] : item.id;
}

/** The longer text of an item, or "" where it has none. */
export function descriptionOf(item) {
  const title = titleOf(item);
  const key = DESCRIPTIONS.find((name) => isText(item.fields?.[name]));
  return key && item.fields[key] !== title ? item.fields[key] : "";
}

/** The address of a picture that the page may load, or null. */
export function imageOf(item) {
  const value = IMAGES.map((key) => item.fields?.[key]).find(isText);
  if (!value) return null;
  try {
    const url = new URL(value, document.baseURI);
    const ours = url.origin === location.origin;
    return ours || url.protocol === "https:" || /^data:image\//.test(url.href) ? url.href : null;
  } catch {
    return null;
  }
}

/** The attribute to filter by: a name that means category, else the first with few values. */
export function filterKeyOf(info) {
  const usable = Object.entries(info.attributes ?? {}).filter(
    ([, { kind, values, top }]) => kind !== "number" && values >= 2 && values <= 60 && top?.length,
  );
  const named = CATEGORIES.find((name) => usable.some(([key]) => key.toLowerCase() === name));
  if (named) return usable.find(([key]) => key.toLowerCase() === named)[0];
  return usable.find(([key]) => !DATE_LIKE.test(key) && !LOCATOR_LIKE.test(key))?.[0] ?? null;
}

/** The values of a field as a list of texts, empty where the item has none. */
export function valuesOf(item, key) {
  const value = item.fields?.[key];
  if (value === null || value === undefined || value === "") return [];
  return (Array.isArray(value) ? value : [value]).map(String);
}

/** What may be read out under a pin: every short field that is not shown elsewhere. */
export function factsOf(item, filterKey) {
  const shown = new Set([titleOf(item), descriptionOf(item)]);
  return Object.entries(item.fields ?? {}).filter(
    ([key, value]) =>
      key !== filterKey && !IMAGES.includes(key) && !shown.has(value) && value !== null &&
      !Array.isArray(value) && String(value).trim() !== "" && String(value).length <= 120,
  );
}

/** The lists of an item, such as tags: [[key, values]]. */
export function listsOf(item, filterKey) {
  return Object.entries(item.fields ?? {}).filter(
    ([key, value]) => key !== filterKey && Array.isArray(value) && value.length > 0,
  );
}

/** "balcony-garden" → "Balcony Garden"; what has spaces or capitals keeps its own form. */
export function humanise(value) {
  const text = String(value);
  const capital = (word) => word.charAt(0).toLocaleUpperCase() + word.slice(1);
  if (/\s|\p{Lu}/u.test(text)) return capital(text);
  return text.split(/[-_]+/).filter(Boolean).map((word, place) => {
    if (ACRONYMS.has(word)) return word.toUpperCase();
    return place > 0 && SMALL_WORDS.has(word) ? word : capital(word);
  }).join(" ");
}

const LANGUAGES = new Intl.DisplayNames(["en"], { type: "language", fallback: "code" });

/** A value in words where it has some: yes and no, names of languages. */
export function valueWords(key, value) {
  if (typeof value === "boolean") return value ? "Yes" : "No";
  const isTag = LANGUAGE_LIKE.test(key) && /^[a-z]{2,3}(-[a-z0-9]{2,8})*$/i.test(value);
  return isTag ? LANGUAGES.of(value) : String(value);
}

/** True where two items having this value in common says something about taste. */
export function isTelling(key, value, info) {
  const { items } = info.index;
  const dull = [DATE_LIKE, LOCATOR_LIKE, LANGUAGE_LIKE].some((form) => form.test(key));
  if (dull || TITLES.includes(key)) return false;
  const common = info.attributes?.[key]?.top?.find(([name]) => name === value);
  return !common || common[1] <= items * 0.6;
}

/** Set `lang` so that Chinese text gets Chinese glyphs, also between English neighbours. */
export function markLanguage(element, text) {
  if (KANA.test(text)) element.lang = "ja";
  else if (HAN.test(text)) element.lang = "zh-Hans";
  return element;
}
