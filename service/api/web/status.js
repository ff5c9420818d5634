// The line at the foot of the page: which model and index answered, and how long it took.

import { element } from "./dom.js";

const TIERS = { miss: "computed now", local: "from memory", redis: "from Redis" };
const SOURCES = {
  similar: "neighbours of the pins you chose",
  search: "neighbours of your words",
  fallback: "nothing to go by, so the latest first",
};

export const milliseconds = (value) => `${value < 10 ? value.toFixed(1) : Math.round(value)} ms`;

/** Show an answer's origin; `answer` null when nothing has been asked yet or it failed. */
export function showStatus(line, list, info, answer) {
  const total = answer?.timing.stages.find(([name]) => name === "total")?.[1];
  const tier = answer?.timing.cache;
  line.replaceChildren(
    ...(total === undefined ? [] : [element("strong", { id: "took" }, milliseconds(total))]),
    ...(tier ? [element("span", {}, TIERS[tier] ?? tier)] : []),
    element("span", { id: "answered-model" }, answer?.model ?? info.model.name),
    ...(info.model.stand_in ? [standInNotice(info)] : []),
    element("span", { id: "answered-index" }, answer?.index ?? info.index.name),
  );
  const stages = (answer?.timing.stages ?? []).map(
    ([name, spent]) => `${name} ${milliseconds(spent)}`,
  );
  const { items, dim, type } = info.index;
  const rows = [
    ["Index", answer?.index ?? info.index.name],
    ["Holds", `${items.toLocaleString("en")} items, ${dim} dimensions, ${type}`],
    ["Recall@10", `${info.index.recall_at_10?.toFixed(3) ?? "not measured"} against exact search`],
    ["Model", answer?.model ?? info.model.name],
    ["Note", info.model.stand_in ? standIn(info) : null],
    ["List", answer ? SOURCES[answer.source] ?? answer.source : null],
    ["Server time", stages.join(", ") || null],
    ["Cache", tier ? TIERS[tier] ?? tier : null],
    ["Request", answer?.request_id ?? null],
    ["Magpie", info.version],
  ];
  list.replaceChildren(...rows.filter(([, value]) => value).flatMap(([name, value]) => [
    element("dt", {}, name), element("dd", {}, value),
  ]));
}

const standIn = (info) => info.model.note || "stand-in, not a Chinese model";
const standInNotice = (info) =>
  element("span", { class: "stand-in", id: "stand-in" }, standIn(info));
