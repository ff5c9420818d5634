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
};

/** Sentences on what an answer lacks, less what the list, its heading or its absence says. */
export function notesOf(view, answer) {
  if (!answer) return [];
  const isSaid = (code) =>
    code === "fewer_than_k" || code === "filter_matches_nothing" ||
    (code === "no_known_seed" && view.view === "pin");
  const notes = answer.degraded.filter((code) => !isSaid(code)).map(degradedNote);
  const missing = answer.missing.join(", ");
  if (missing) notes.push(`Not in this index, skipped: ${missing}.`);
  return notes;
}

function degradedNote(code) {
  if (DEGRADED[code]) return DEGRADED[code];
  return /redis|cache/.test(code)
    ? `The shared cache did not help (${code}); the answer is complete.`
    : `Less than asked: ${code}.`;
}

const PROBLEMS = {
  overloaded: "Very busy just now",
  invalid_filter: "This filter does not fit the catalogue",
  invalid_request: "The service does not accept this",
};

/** A kinder title for a problem than the HTTP phrase. */
export const problemTitle = (problem) => PROBLEMS[problem.code] ?? problem.title;
