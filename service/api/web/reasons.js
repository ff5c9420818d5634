// Why a pin is here: the seeds it follows from, with their shares, and the same in a sentence.

import { humanise, isTelling, markLanguage } from "./catalogue.js";
import { element } from "./dom.js";

const SHARED_SHOWN = 3;

/**
 * Turn `because` and `shared` into words.
 *
 * Returns {seeds: [{id, title, share}], common: "same board, shares sourdough, baking", words};
 * `titleFor` gives the title of a seed id, `q` is the search text.
 */
export function reasonOf(item, { info, filterKey, titleFor, q }) {
  const seeds = (item.because ?? []).map(({ id, text, share }) => ({
    id: text ? null : id,
    title: text ? q : titleFor(id),
    share,
  }));
  return { seeds, common: commonWords(item, info, filterKey), words: item.words ?? "" };
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

/** Write the reason under a card; folded, it is short, unfolded it says the sentence as well. */
export function explain(made, { seeds, common, words }, hueOf) {
  const reason = made.querySelector(".reason");
  const named = seeds.filter(({ id, title }) => id !== null || title);
  // Where words alone were searched for, the heading says all that there is to say.
  reason.hidden = named.length === 0 || (named.length === 1 && named[0].id === null);
  if (reason.hidden) return;
  const several = named.length > 1;
  reason.classList.toggle("several", several);
  reason.replaceChildren(
    element("summary", { title: "Why this pin" },
      several && bar(named, hueOf),
      element("span", { class: "because" }, "because of ",
        element("span", { class: "seeds" }, named.map((seed) => seedLine(seed, several, hueOf)))),
      common && marked("span", "common", common),
    ),
    marked("p", "in-words", words),
  );
}

const marked = (name, className, text) =>
  markLanguage(element(name, { class: className }, text), text);

function coloured(part, id, hueOf) {
  if (id === null) part.classList.add("of-words");
  else part.style.setProperty("--h", String(hueOf(id)));
  return part;
}

function bar(seeds, hueOf) {
  const segments = seeds.map(({ id, share }) => {
    const part = coloured(element("span"), id, hueOf);
    part.style.flexGrow = String(share);
    return part;
  });
  return element("span", { class: "shares", "aria-hidden": "true" }, segments);
}

function seedLine({ id, title, share }, several, hueOf) {
  const line = element("span", { class: "seed-line" },
    marked(id === null ? "q" : "em", "seed", title),
    several && element("span", { class: "percent" }, ` ${Math.round(share * 100)} %`));
  return coloured(line, id, hueOf);
}
