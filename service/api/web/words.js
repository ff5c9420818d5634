// What the page says about a list: its heading, what was less than asked, what went wrong.

import { BOARD_MAX } from "./board.js";
import { humanise } from "./catalogue.js";

const INVITATION =
  "Open one to see its neighbours, or collect a few and the page follows your taste.";
const REMOVED = "It may have been removed. Here are the latest instead.";
const EMPTY_BOARD =
  `Collect up to ${BOARD_MAX} pins with the plus sign; ideas for all of them together appear here.`;

/** {title, subtitle, isUnder} of a list; `isUnder` where a pin above it has the first heading. */
export function headingOf(view, info, answer) {
  const topic = view.category ? humanise(view.category) : "";
  const inTopic = topic && `in ${topic}`;
  const heading = (title, subtitle = "", isUnder = false) => ({ title, subtitle, isUnder });
  switch (view.view) {
    case "search":
      return heading(view.q, ["by meaning, not by letters", inTopic].filter(Boolean).join(", "));
    case "pin":
      if (answer?.source === "fallback") {
        return heading("This pin is not in the index", REMOVED);
      }
      return heading("More like this", inTopic, true);
    case "board": {
      if (view.board.length === 0) {
        return view.q ? heading(view.q) : heading("Your board is empty", EMPTY_BOARD);
      }
      const steered = view.q && `steered by "${view.q}"`;
      return heading("Ideas for your board", [steered, inTopic].filter(Boolean).join(", "));
    }
    default: {
      if (topic) return heading(topic, "Latest first. Open a pin to see its neighbours.");
      const count = info.index.items.toLocaleString("en");
      return heading("Start anywhere", `${count} pins, latest first. ${INVITATION}`);
    }
  }
}

const DEGRADED = {
  no_known_seed: "None of the chosen pins is in this index, so these are simply the latest.",
  fewer_than_k: "This is all that fits.",
  too_few_promoted: "There was too little to promote; other pins took those places.",
};

/** Sentences on what a list lacks, less what its heading or its absence says. */
export function notesOf(view, pages) {
  if (!pages?.first) return [];
  const { first, last, items } = pages;
  const isSaid = (code) =>
    code === "filter_matches_nothing" || (code === "fewer_than_k" && items.length === 0) ||
    (code === "no_known_seed" && view.view === "pin");
  const codes = new Set([...first.degraded, ...last.degraded]);
  const notes = [...codes].filter((code) => !isSaid(code)).map(degradedNote);
  const missing = first.missing.join(", ");
  if (missing) notes.push(`Not in this index, skipped: ${missing}.`);
  if (pages.isRenewed) notes.push("The index has changed meanwhile, so the list began again.");
  return notes;
}

const LEFT_OUT = {
  filter: "left out by the filter",
  min_score: "too far away",
  limit_per: "over a limit",
  near_duplicate: "nearly the same as another",
  unscored: "without a usable vector",
};

/** How the list came to its length, such as "40 pins, 651 left out by the filter". */
export function countsOf(pages) {
  if (!pages?.first || pages.items.length === 0) return "";
  const number = (count) => count.toLocaleString("en");
  const filled = pages.first.counts.back_filled ? ", all of them filled in from the latest" : "";
  const shown = pages.items.length;
  const out = Object.entries(LEFT_OUT)
    .map(([name, words]) => [leftOut(name, pages), words])
    .filter(([count]) => count > 0)
    .map(([count, words]) => `, ${number(count)} ${words}`);
  const isAll = pages.isOpen ? "so far" : "in all";
  return `${number(shown)} ${shown === 1 ? "pin" : "pins"} ${isAll}${filled}${out.join("")}`;
}

// The filter leaves the same out of every page, all else is counted page by page.
const leftOut = (name, { first, last }) =>
  (name === "filter" ? first : last).counts.filtered_out[name];

function degradedNote(code) {
  if (DEGRADED[code]) return DEGRADED[code];
  return /redis|cache/.test(code)
    ? `The shared cache did not help (${code}); the answer is complete.`
    : `Less than asked: ${code}.`;
}

const PROBLEMS = {
  overloaded: "Very busy just now",
  rate_exceeded: "Your key has asked as much as it may",
  scope_missing: "You may not read here",
  invalid_filter: "This filter does not fit the catalogue",
  invalid_request: "The service does not accept this",
};

/** A kinder title for a problem than the HTTP phrase. */
export const problemTitle = (problem) => PROBLEMS[problem.code] ?? problem.title;
