// Why a pin is here, in words: the seeds it follows from, and what it has in common with them.

import { isTelling, humanise } from "./catalogue.js";

const SHARED_SHOWN = 3;

/**
 * Turn `because` and `shared` into words.
 *
 * Returns {seeds: [{id, title, share}], common: "same board, shares sourdough, baking"};
 * `titleFor` gives the title of a seed id, `q` is the search text.
 */
export function reasonOf(item, { info, filterKey, titleFor, q }) {
  const seeds = (item.because ?? []).map(({ id, text, share }) => ({
    id: text ? null : id,
    title: text ? q : titleFor(id),
    share,
  }));
  return { seeds, common: commonWords(item, info, filterKey) };
}

function commonWords(item, info, filterKey) {
  const same = [];
  const lists = [];
  const topic = [];
  for (const [key, values] of Object.entries(item.shared ?? {})) {
    const telling = values.map(String).filter((value) => isTelling(key, value, info));
    if (telling.length === 0) continue;
    if (key === filterKey) topic.push(...telling.map((value) => humanise(value).toLowerCase()));
    else if (Array.isArray(item.fields?.[key])) lists.push(...telling);
    else same.push(`same ${humanise(key).toLowerCase()}`);
  }
  const shared = [...new Set([...lists, ...topic])];
  const named = shared.slice(0, SHARED_SHOWN).join(", ");
  return [...same, ...(named ? [`shares ${named}`] : [])].join(", ");
}
