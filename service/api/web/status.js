// The line at the foot of the page: which model and index answered, and where the time went.

import { heldKey } from "./api.js";
import { element } from "./dom.js";

const TIERS = {
  miss: "computed now", local: "from memory", redis: "from Redis", negative: "known to be absent",
};
const SOURCES = {
  similar: "neighbours of the pins you chose",
  search: "neighbours of your words",
  fallback: "nothing to go by, so the latest first",
};

export const milliseconds = (value) => `${value < 10 ? value.toFixed(2) : Math.round(value)} ms`;

/** Show where an answer came from; `answer` null when nothing has been asked yet or it failed. */
export function showStatus(line, list, info, answer, forgetKey) {
  const stages = stagesOf(answer);
  const tier = answer?.timing.cache;
  line.replaceChildren(
    ...(stages ? [element("strong", { id: "took" }, milliseconds(stages.total))] : []),
    ...(stages?.parts.length ? [stageBar(stages)] : []),
    ...(tier ? [element("span", {}, TIERS[tier] ?? tier)] : []),
    element("span", { id: "answered-model" }, answer?.model ?? info.model.name),
    ...(info.model.stand_in ? [standInNotice(info)] : []),
    element("span", { id: "answered-index" }, answer?.index ?? info.index.name),
  );
  const { items, dim, type } = info.index;
  const rows = [
    ["Index", answer?.index ?? info.index.name],
    ["Holds", `${items.toLocaleString("en")} items, ${dim} dimensions, ${type}`],
    ["Recall@10", `${info.index.recall_at_10?.toFixed(3) ?? "not measured"} against exact search`],
    ["Model", answer?.model ?? info.model.name],
    ["Note", info.model.stand_in ? standIn(info) : null],
    ["List", answer ? SOURCES[answer.source] ?? answer.source : null],
    ["Server time", stages && stageWords(stages)],
    ["Cache", tier ? TIERS[tier] ?? tier : null],
    ["Request", answer?.request_id ?? null],
    ["Key", heldKey() && element("button", { type: "button", onclick: forgetKey }, "Forget it")],
    ["Magpie", info.version],
  ];
  list.replaceChildren(...rows.filter(([, value]) => value).flatMap(([name, value]) => [
    element("dt", {}, name), element("dd", {}, value),
  ]));
}

/** {total, parts: [[stage, ms]]} of Server-Timing; what no stage claims is the rest. */
function stagesOf(answer) {
  const measured = new Map(answer?.timing.stages ?? []);
  const total = measured.get("total");
  if (total === undefined) return null;
  measured.delete("total");
  const parts = [...measured].filter(([, spent]) => spent > 0);
  const rest = total - parts.reduce((sum, [, spent]) => sum + spent, 0);
  if (parts.length && rest > 0) parts.push(["rest", rest]);
  return { total, parts };
}

const stageWords = ({ total, parts }) =>
  [["total", total], ...parts].map(([name, spent]) => `${name} ${milliseconds(spent)}`).join(", ");

function stageBar(stages) {
  const segments = stages.parts.map(([name, spent]) => {
    const part = element("span", { class: `stage of-${name}` }, element("span", {}, name));
    part.style.flexGrow = String(spent);
    return part;
  });
  const said = stageWords(stages);
  return element("span", { id: "stages", role: "img", "aria-label": said, title: said }, segments);
}

const standIn = (info) => info.model.note || "stand-in, not a Chinese model";
const standInNotice = (info) =>
  element("span", { class: "stand-in", id: "stand-in" }, standIn(info));
