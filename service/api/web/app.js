// The explorer: one view at a time, read from the address, answered by POST /recommend.

import { info as fetchInfo, Problem, recommend } from "./api.js";
import { Board, BOARD_MAX } from "./board.js";
import { card, explain, hueOfItem, paint, sheet, swatch } from "./cards.js";
import { filterKeyOf, humanise, markLanguage, titleOf } from "./catalogue.js";
import { element, icon } from "./dom.js";
import { Masonry } from "./masonry.js";
import { reasonOf } from "./reasons.js";
import { format, parse } from "./route.js";
import { showStatus } from "./status.js";

const PAGE = 40;
const TYPING_MS = 280;
const SLIDING_MS = 90;
const $ = (id) => document.getElementById(id);

const wall = new Masonry($("wall"));
const seen = new Map();
let info, filterKey, board, view, latest;
let shownKey = null;
let wanted = PAGE;
let running = null;

// ---- Asking ------------------------------------------------------------------------------------

function queryOf({ view: name, pin, board: ids, less, q, category, diversity }) {
  const like = name === "pin" ? [pin] : name === "board" ? ids : [];
  const text = name === "pin" ? "" : q;
  const query = { k: Math.min(wanted, kMax()), explain: true, diversity };
  if (like.length) query.like = like;
  if (text) query.text = text;
  if (less.length) Object.assign(query, like.length || text ? { dislike: less } : { exclude: less });
  if (category && filterKey) {
    query.filter = { must: [{ key: filterKey, match: { any: [category] } }] };
  }
  return query;
}

const kMax = () => info.limits?.k ?? 100;

async function ask(query, signal) {
  const answer = await recommend(query, signal);
  for (const item of answer.items) seen.set(item.id, item);
  return answer;
}

/** A pin's own fields. A pin is among the neighbours of its neighbours, so two calls find it. */
async function findItem(id, signal) {
  if (seen.has(id)) return seen.get(id);
  const near = await ask({ like: [id], k: 8 }, signal);
  if (near.missing.includes(id) || near.items.length === 0) return null;
  await ask({ like: near.items.map((item) => item.id), k: Math.min(200, kMax()) }, signal);
  return seen.get(id) ?? { id, fields: { title: id } };
}

// ---- Showing -----------------------------------------------------------------------------------

async function show({ scroll = null, focus = false } = {}) {
  running?.abort();
  const control = (running = new AbortController());
  view = parse(location.hash);
  const key = JSON.stringify([view.view, view.pin, view.view === "board" ? "" : view.q, view.category]);
  const fresh = key !== shownKey;
  $("wall").setAttribute("aria-busy", "true");
  $("message").hidden = true;
  showControls();
  try {
    if (view.view === "board") board.replace(view.board.length ? view.board : board.ids);
    const isEmptyBoard = view.view === "board" && view.board.length === 0 && !view.q;
    const [answer, leading] = await Promise.all([
      isEmptyBoard ? null : ask(queryOf(view), control.signal),
      leadingItems(control.signal),
    ]);
    if (control.signal.aborted) return;
    latest = answer;
    shownKey = key;
    showLead(leading);
    showHeading(answer);
    showNotices(answer);
    showWall(answer?.items ?? [], fresh);
    showEnd(answer);
    showStatus($("status-line"), $("status-list"), info, answer);
    showBoard();
    if (scroll !== null) scrollTo(0, scroll);
    if (focus) ($("lead").querySelector("h1") ?? $("main")).focus({ preventScroll: true });
  } catch (error) {
    if (error.name === "AbortError") return;
    showProblem(error);
  }
  if (running === control) $("wall").setAttribute("aria-busy", "false");
}

async function leadingItems(signal) {
  const ids = view.view === "pin" ? [view.pin] : view.view === "board" ? view.board : [];
  const found = await Promise.all([...ids, ...view.less].map((id) => findItem(id, signal)));
  return found.slice(0, ids.length).filter(Boolean);
}

function showControls() {
  const search = $("query");
  if (document.activeElement !== search || search.value.trim() !== view.q) {
    if (document.activeElement !== search) search.value = view.view === "pin" ? "" : view.q;
  }
  search.placeholder = view.view === "board" ? "Steer this board with words" : "Search by meaning";
  $("diversity").value = String(view.diversity);
  showDiversity();
  $("dial").hidden = view.view === "home" || (view.view === "board" && !view.board.length && !view.q);
  for (const link of $("topic-row").children) {
    const isChosen = (link.dataset.value || null) === view.category;
    link.toggleAttribute("aria-current", isChosen);
    if (isChosen) link.setAttribute("aria-current", "true");
    link.href = format({ ...view, category: link.dataset.value || null });
  }
}

function showDiversity() {
  const slider = $("diversity");
  $("diversity-value").textContent = Number(slider.value).toFixed(2);
  slider.style.setProperty("--filled", `${Number(slider.value) * 100}%`);
}

function showLead(items) {
  const lead = $("lead");
  if (view.view === "pin" && items.length) {
    lead.replaceChildren(sheet(items[0], { filterKey, board, onBack: goBack }));
  } else if (view.view === "board" && items.length) {
    const onRemove = (id) => {
      board.replace(board.ids.filter((each) => each !== id));
      go({ ...view, board: board.ids }, { replace: true });
    };
    lead.replaceChildren(element("ul", { class: "swatches", "aria-label": "Pins on your board" },
      items.map((item) => swatch(item, { filterKey, onRemove }))));
  } else {
    lead.replaceChildren();
  }
}

function showHeading(answer) {
  const count = info.index.items.toLocaleString("en");
  const topic = view.category ? humanise(view.category) : "";
  const isLost = answer?.source === "fallback" && view.view !== "home";
  const [title, subtitle] = {
    home: topic
      ? [topic, "Latest first. Open a pin to see its neighbours."]
      : ["Start anywhere", `${count} pins, latest first. Open one to see its neighbours, or collect a few and the page follows your taste.`],
    search: [view.q, topic ? `by meaning, in ${topic}` : "by meaning, not by letters"],
    pin: isLost ? ["This pin is not in the index", "It may have been removed. Here are the latest instead."] : ["More like this", topic && `in ${topic}`],
    board: view.board.length
      ? ["Ideas for your board", [view.q && `steered by "${view.q}"`, topic && `in ${topic}`].filter(Boolean).join(", ")]
      : [view.q || "Your board is empty", view.q ? "" : `Collect up to ${BOARD_MAX} pins with the plus sign and ideas for all of them together appear here.`],
  }[view.view];
  const name = view.view === "pin" && !isLost ? "h2" : "h1";
  const heading = markLanguage(element(name, { id: "title" }, title), title);
  $("title").replaceWith(heading);
  $("heading").hidden = false;
  $("subtitle").textContent = subtitle || "";
  $("subtitle").hidden = !subtitle;
  const pin = view.view === "pin" && seen.get(view.pin);
  document.title = view.view === "home" && !topic ? "Magpie" : `${pin ? titleOf(pin) : title} · Magpie`;
  $("announce").textContent = answer ? `${answer.items.length} pins. ${pin ? titleOf(pin) : title}` : title;
}

const DEGRADED = {
  no_known_seed: "None of the chosen pins is in this index, so these are simply the latest.",
  filter_matches_nothing: "No pin in the index passes this filter.",
};

function showNotices(answer) {
  const isSaid = (code) => code === "fewer_than_k" || (code === "no_known_seed" && view.view === "pin");
  const notes = (answer?.degraded ?? [])
    .filter((code) => !isSaid(code))
    .map((code) => DEGRADED[code] ??
      (/redis|cache/.test(code) ? `The shared cache did not help (${code}); the answer is complete.` : `Less than asked: ${code}.`));
  if (answer?.missing.length) notes.push(`Not in this index, skipped: ${answer.missing.join(", ")}.`);
  const chips = view.less.map((id) => {
    const title = seen.has(id) ? titleOf(seen.get(id)) : id;
    return element("li", { class: "less-chip" }, "Less like ", markLanguage(element("em", {}, title), title),
      element("button", {
        type: "button", class: "round", "aria-label": `Forget: less like ${title}`,
        onclick: () => go({ ...view, less: view.less.filter((each) => each !== id) }, { replace: true }),
      }, icon("close")));
  });
  $("notices").replaceChildren(
    ...notes.map((note) => element("p", { class: "notice" }, note)),
    ...(chips.length ? [element("ul", { class: "less-chips", "aria-label": "Less of" }, chips)] : []),
  );
}

function showWall(items, fresh) {
  const reasons = { info, filterKey, q: view.q, titleFor: (id) => (seen.has(id) ? titleOf(seen.get(id)) : id) };
  const hueOf = (id) => (seen.has(id) ? hueOfItem(seen.get(id), filterKey) : 0);
  const refresh = (made, item) => explain(made, reasonOf(item, reasons), hueOf);
  const make = (item) => {
    const onLess = view.view === "home" ? null : lessLike;
    const made = card(item, { filterKey, board, onLess, keep: () => ({ diversity: view.diversity }) });
    refresh(made, item);
    return made;
  };
  wall.show(items, { make, refresh, fresh });
}

function showEnd(answer) {
  const shown = answer?.items.length ?? 0;
  const isAll = !answer || shown < wanted || answer.degraded.includes("fewer_than_k");
  $("more").hidden = isAll || wanted >= kMax();
  const message = $("message");
  message.hidden = !(answer && shown === 0);
  if (!message.hidden) {
    message.replaceChildren(
      element("h2", {}, "Nothing here"),
      element("p", {}, view.category
        ? `No pin in ${humanise(view.category)} fits.`
        : "The index has nothing to show for this."),
      element("p", {}, element("a", { class: "button", href: format({ ...view, category: null, less: [] }) }, "Look everywhere")),
    );
  }
}

const KIND_TITLES = {
  overloaded: "Very busy just now",
  invalid_filter: "This filter does not fit the catalogue",
  invalid_request: "The service does not accept this",
};

function showProblem(error) {
  const problem = error instanceof Problem ? error : new Problem({ title: "The page failed", detail: String(error), code: "page" });
  $("heading").hidden = $("more").hidden = true;
  if (info) showStatus($("status-line"), $("status-list"), info, null);
  else $("status-line").textContent = "No answer";
  $("lead").replaceChildren();
  $("notices").replaceChildren();
  wall.show([], { fresh: true });
  shownKey = null;
  $("wall").setAttribute("aria-busy", "false");
  const trace = [problem.status || null, problem.code, problem.requestId].filter(Boolean).join(" · ");
  $("message").hidden = false;
  $("message").replaceChildren(
    element("h1", {}, KIND_TITLES[problem.code] ?? problem.title),
    element("p", {}, problem.detail ?? ""),
    element("p", { class: "trace" }, trace),
    element("p", {}, element("button", { type: "button", class: "button", onclick: () => (info ? show() : start()) }, "Try again")),
  );
  $("announce").textContent = problem.title;
}

// ---- Moving ------------------------------------------------------------------------------------

function go(next, { replace = false, keepCount = false, ...options } = {}) {
  const merged = { ...parse(""), ...next };
  const hash = format(merged);
  if (!keepCount && !replace) wanted = PAGE;
  if (replace) history.replaceState({ ...history.state, wanted }, "", hash);
  else {
    rememberScroll();
    history.pushState({ inside: true, wanted }, "", hash);
  }
  return show(options);
}

function goBack() {
  if (history.state?.inside) history.back();
  else go({}, { scroll: 0, focus: true });
}

let scrolling = null;
function rememberScroll() {
  clearTimeout(scrolling);
  history.replaceState({ ...history.state, y: scrollY, wanted }, "");
}

function lessLike(item) {
  go({ ...view, less: [...view.less, item.id] }, { replace: true });
  $("announce").textContent = `Less like ${titleOf(item)}`;
  $("main").focus({ preventScroll: true });
}

function searchNow({ isFinal }) {
  const q = $("query").value.trim();
  if (q === view.q && view.view !== "pin") return;
  const isBoard = view.view === "board";
  const next = { category: view.category, diversity: view.diversity, q };
  if (isBoard) Object.assign(next, { view: "board", board: view.board, less: view.less });
  // Half-typed words replace each other; only the first of them and an Enter make a step back.
  const replace = !isFinal && (isBoard || view.view === "search");
  go(next, { replace, scroll: 0 });
}

function wire() {
  let typing, sliding;
  $("search").addEventListener("submit", (event) => {
    event.preventDefault();
    clearTimeout(typing);
    searchNow({ isFinal: true });
  });
  $("query").addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(() => searchNow({ isFinal: false }), TYPING_MS);
  });
  $("diversity").addEventListener("input", (event) => {
    showDiversity();
    clearTimeout(sliding);
    const diversity = Number(event.target.value);
    sliding = setTimeout(() => go({ ...view, diversity }, { replace: true }), SLIDING_MS);
  });
  $("more").addEventListener("click", () => {
    wanted += PAGE;
    go(view, { replace: true });
  });
  $("skip").addEventListener("click", (event) => {
    event.preventDefault();
    $("main").focus();
  });
  $("board-link").addEventListener("click", (event) => {
    event.preventDefault();
    go({ view: "board", board: board.ids, category: null }, { scroll: 0, focus: true });
  });
  addEventListener("popstate", (event) => {
    clearTimeout(scrolling);
    clearTimeout(typing);
    const isReturn = event.state !== null;
    wanted = event.state?.wanted ?? PAGE;
    if (!isReturn) history.replaceState({ inside: true, wanted }, "");
    show({ scroll: event.state?.y ?? 0, focus: true });
  });
  document.addEventListener("click", (event) => {
    // Before the browser follows a link inside the page, note where this view was.
    if (event.target.closest?.('a[href^="#"]')) rememberScroll();
  }, { capture: true });
  addEventListener("scroll", () => {
    clearTimeout(scrolling);
    scrolling = setTimeout(rememberScroll, 150);
  }, { passive: true });
  addEventListener("keydown", (event) => {
    const isTyping = event.target.matches?.("input, textarea, select");
    if (event.key === "/" && !isTyping && !event.metaKey && !event.ctrlKey) {
      event.preventDefault();
      $("query").focus();
    } else if (event.key === "Escape" && !isTyping && view.view === "pin") goBack();
  });
}

function showTopics() {
  const top = filterKey ? info.attributes[filterKey].top : [];
  const chip = (value, label) => {
    const link = markLanguage(element("a", { class: "topic", "data-value": value }, label), label);
    return value ? paint(link, value) : link;
  };
  const sorted = top.map(([value]) => String(value)).filter((value) => value.trim() !== "")
    .sort((a, b) => a.localeCompare(b));
  $("topic-row").replaceChildren(chip("", "Everything"), ...sorted.map((value) => chip(value, humanise(value))));
  $("topics").hidden = top.length === 0;
  $("topics").setAttribute("aria-label", filterKey ? humanise(filterKey) : "Categories");
  const label = `All ${sorted.length}`;
  $("topic-more").textContent = label;
  $("topic-more").addEventListener("click", (event) => {
    const isOpen = $("topics").classList.toggle("open");
    event.target.setAttribute("aria-expanded", String(isOpen));
    event.target.textContent = isOpen ? "Fewer" : label;
  });
  const row = $("topic-row");
  new ResizeObserver(() => {
    const fits = !$("topics").classList.contains("open") && row.scrollWidth <= row.clientWidth;
    $("topics").classList.toggle("fits", fits);
  }).observe(row);
}

function showBoard() {
  $("board-count").textContent = String(board.ids.length);
  $("board-link").setAttribute("aria-label", `Your board, ${board.ids.length} pins`);
  $("board-stack").replaceChildren(...board.ids.slice(-3).map((id) => {
    const leaf = element("span", {});
    if (seen.has(id)) leaf.style.setProperty("--h", String(hueOfItem(seen.get(id), filterKey)));
    return leaf;
  }));
  for (const button of document.querySelectorAll("button.collect")) button.dispatchEvent(new Event("board"));
}

function collect(item) {
  const title = titleOf(item);
  const wasOn = board.has(item.id);
  const isDone = board.toggle(item.id);
  $("announce").textContent = !isDone
    ? `The board is full: ${BOARD_MAX} pins.`
    : wasOn ? `Taken off the board: ${title}` : `Added to the board: ${title}`;
  if (isDone && view.view === "board") go({ ...view, board: board.ids }, { replace: true });
}

async function start() {
  try {
    info = await fetchInfo();
  } catch (error) {
    showProblem(error);
    return;
  }
  $("message").hidden = true;
  filterKey = filterKeyOf(info);
  board = new Board(info.index.catalogue, sessionStorage);
  board.collect = collect;
  board.addEventListener("change", showBoard);
  wanted = history.state?.wanted ?? PAGE;
  const y = history.state?.y ?? 0;
  view = parse(location.hash);
  showTopics();
  wire();
  showBoard();
  await show({ scroll: y });
}

history.scrollRestoration = "manual";
start();
