// The explorer: one view at a time, read from the address, answered by POST /recommend.

import { info as fetchInfo } from "./api.js";
import { Board, BOARD_MAX } from "./board.js";
import { card, explain, hueOfItem, sheet, swatch } from "./cards.js";
import { filterKeyOf, humanise, markLanguage, titleOf } from "./catalogue.js";
import { element } from "./dom.js";
import { Masonry } from "./masonry.js";
import { failure, lessChips, nothingHere } from "./messages.js";
import { Pins, queryOf } from "./questions.js";
import { reasonOf } from "./reasons.js";
import { format, parse } from "./route.js";
import { showStatus } from "./status.js";
import { buildTopics, markTopics } from "./topics.js";
import { headingOf, notesOf } from "./words.js";

const PAGE = 40;
const TYPING_MS = 280;
const SLIDING_MS = 90;
const SCROLLING_MS = 150;
const $ = (id) => document.getElementById(id);

const wall = new Masonry($("wall"));
let info, filterKey, pins, board, view;
let wanted = PAGE;
let shownKey = null;
let running = null;

// Showing

async function show({ scroll = null, focus = false } = {}) {
  running?.abort();
  const control = (running = new AbortController());
  view = parse(location.hash);
  // Another order of the same view glides; another view is drawn afresh.
  const key = JSON.stringify([view.view, view.pin, view.view === "board" || view.q, view.category]);
  $("wall").setAttribute("aria-busy", "true");
  $("message").hidden = true;
  if (view.view === "board" && view.board.length) board.replace(view.board);
  showControls();
  try {
    const [answer, leading] = await Promise.all([
      isEmptyBoard() ? null : pins.ask(queryOf(view, { wanted, filterKey }), control.signal),
      findNamed(control.signal),
    ]);
    if (control.signal.aborted) return;
    showLead(leading);
    showHeading(answer);
    showNotices(answer);
    showWall(answer?.items ?? [], key !== shownKey);
    showEnd(answer);
    showStatus($("status-line"), $("status-list"), info, answer);
    showBoard();
    shownKey = key;
    if (scroll !== null) scrollTo(0, scroll);
    if (focus) ($("lead").querySelector("h1") ?? $("main")).focus({ preventScroll: true });
  } catch (error) {
    if (error.name === "AbortError") return;
    showProblem(error);
  }
  if (running === control) $("wall").setAttribute("aria-busy", "false");
}

const isEmptyBoard = () => view.view === "board" && view.board.length === 0 && !view.q;
const titleFor = (id) => (pins.get(id) ? titleOf(pins.get(id)) : id);

/** The pins that the view is about; those it turns away from are looked up for their titles. */
async function findNamed(signal) {
  const ids = view.view === "pin" ? [view.pin] : view.board;
  const found = await Promise.all([...ids, ...view.less].map((id) => pins.find(id, signal)));
  return found.slice(0, ids.length).filter(Boolean);
}

function showControls() {
  const search = $("query");
  if (document.activeElement !== search) search.value = view.view === "pin" ? "" : view.q;
  search.placeholder = view.view === "board" ? "Steer this board with words" : "Search by meaning";
  $("diversity").value = String(view.diversity);
  showDiversity();
  $("dial").hidden = view.view === "home" || isEmptyBoard();
  markTopics($("topic-row"), view);
}

function showDiversity() {
  const slider = $("diversity");
  $("diversity-value").textContent = Number(slider.value).toFixed(2);
  slider.style.setProperty("--filled", `${Number(slider.value) * 100}%`);
}

function showLead(items) {
  const onRemove = (id) => {
    board.replace(board.ids.filter((each) => each !== id));
    go({ ...view, board: board.ids }, { replace: true });
  };
  const lead = [];
  if (items.length && view.view === "pin") {
    lead.push(sheet(items[0], { filterKey, board, onBack: goBack }));
  } else if (items.length) {
    const swatches = items.map((item) => swatch(item, { filterKey, onRemove }));
    lead.push(element("ul", { class: "swatches", "aria-label": "Pins on your board" }, swatches));
  }
  $("lead").replaceChildren(...lead);
}

function showHeading(answer) {
  const { title, subtitle, isUnder } = headingOf(view, info, answer);
  const made = element(isUnder ? "h2" : "h1", { id: "title" }, title);
  $("title").replaceWith(markLanguage(made, title));
  $("subtitle").textContent = subtitle;
  $("subtitle").hidden = !subtitle;
  $("heading").hidden = false;
  const subject = isUnder ? titleFor(view.pin) : title;
  document.title = view.view === "home" && !view.category ? "Magpie" : `${subject} · Magpie`;
  $("announce").textContent = answer ? `${answer.items.length} pins. ${subject}` : subject;
}

function showNotices(answer) {
  const forget = (id) =>
    go({ ...view, less: view.less.filter((each) => each !== id) }, { replace: true });
  $("notices").replaceChildren(
    ...notesOf(view, answer).map((note) => element("p", { class: "notice" }, note)),
    ...(view.less.length ? [lessChips(view.less, titleFor, forget)] : []),
  );
}

function showWall(items, fresh) {
  const context = { info, filterKey, q: view.q, titleFor };
  const hueOf = (id) => (pins.get(id) ? hueOfItem(pins.get(id), filterKey) : 0);
  const refresh = (made, item) => explain(made, reasonOf(item, context), hueOf);
  const keep = { diversity: view.diversity };
  const onLess = view.view === "home" ? null : lessLike;
  const make = (item) => {
    const made = card(item, { filterKey, board, keep, onLess });
    refresh(made, item);
    return made;
  };
  wall.show(items, { make, refresh, fresh });
}

function showEnd(answer) {
  const shown = answer?.items.length ?? 0;
  $("more").hidden = shown < wanted || wanted >= info.limits.k;
  if (answer && shown === 0) showMessage(nothingHere(view));
}

function showProblem(error) {
  shownKey = null;
  $("heading").hidden = $("more").hidden = true;
  $("lead").replaceChildren();
  $("notices").replaceChildren();
  wall.show([], { fresh: true });
  if (info) showStatus($("status-line"), $("status-list"), info, null);
  else $("status-line").textContent = "No answer";
  showMessage(failure(error, () => (info ? show() : start())));
  $("announce").textContent = $("message").querySelector("h1").textContent;
}

function showMessage(children) {
  $("message").replaceChildren(...children);
  $("message").hidden = false;
}

function showBoard() {
  $("board-stack").replaceChildren(...board.ids.slice(-3).map((id) => {
    const leaf = element("span");
    if (pins.get(id)) leaf.style.setProperty("--h", String(hueOfItem(pins.get(id), filterKey)));
    return leaf;
  }));
  $("board-count").textContent = String(board.ids.length);
  $("board-link").setAttribute("aria-label", `Your board, ${board.ids.length} pins`);
  for (const button of document.querySelectorAll("button.collect")) {
    button.dispatchEvent(new Event("board"));
  }
}

// Moving

function go(next, { replace = false, ...options } = {}) {
  const hash = format({ ...parse(""), ...next });
  if (replace) {
    history.replaceState({ ...history.state, wanted }, "", hash);
  } else {
    rememberPlace();
    wanted = PAGE;
    history.pushState({ inside: true, wanted }, "", hash);
  }
  return show(options);
}

function goBack() {
  if (history.state?.inside) history.back();
  else go({}, { scroll: 0, focus: true });
}

let scrolling = null;
function rememberPlace() {
  clearTimeout(scrolling);
  history.replaceState({ ...history.state, y: scrollY, wanted }, "");
}

function lessLike(item) {
  go({ ...view, less: [...view.less, item.id] }, { replace: true });
  $("main").focus({ preventScroll: true });
}

function collect(item) {
  const wasOn = board.has(item.id);
  const isDone = board.toggle(item.id);
  const done = wasOn ? "Taken off the board" : "Added to the board";
  $("announce").textContent = isDone
    ? `${done}: ${titleOf(item)}`
    : `The board is full: ${BOARD_MAX} pins.`;
  if (isDone && view.view === "board") go({ ...view, board: board.ids }, { replace: true });
}

function searchNow({ isFinal }) {
  const q = $("query").value.trim();
  if (q === view.q && view.view !== "pin") return;
  const isBoard = view.view === "board";
  const kept = isBoard ? { ...view } : { category: view.category, diversity: view.diversity };
  // Half-typed words replace each other; only the first of them and an Enter make a step back.
  const replace = !isFinal && (isBoard || view.view === "search");
  go({ ...kept, q }, { replace, scroll: 0 });
}

function onKey(event) {
  const isTyping = event.target.matches?.("input");
  if (event.key === "/" && !isTyping && !event.metaKey && !event.ctrlKey) {
    event.preventDefault();
    $("query").focus();
  } else if (event.key === "Escape" && !isTyping && view.view === "pin") {
    goBack();
  }
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
  $("diversity").addEventListener("input", () => {
    showDiversity();
    clearTimeout(sliding);
    const diversity = Number($("diversity").value);
    sliding = setTimeout(() => go({ ...view, diversity }, { replace: true }), SLIDING_MS);
  });
  $("more").addEventListener("click", () => {
    wanted = Math.min(wanted + PAGE, info.limits.k);
    go(view, { replace: true });
  });
  $("skip").addEventListener("click", (event) => {
    event.preventDefault();
    $("main").focus();
  });
  $("board-link").addEventListener("click", (event) => {
    event.preventDefault();
    go({ view: "board", board: board.ids }, { scroll: 0, focus: true });
  });
  // Before the browser follows a link inside the page, note where this view was.
  document.addEventListener("click", (event) => {
    if (event.target.closest?.('a[href^="#"]')) rememberPlace();
  }, { capture: true });
  addEventListener("popstate", (event) => {
    clearTimeout(scrolling);
    clearTimeout(typing);
    clearTimeout(sliding);
    wanted = event.state?.wanted ?? PAGE;
    if (event.state === null) history.replaceState({ inside: true, wanted }, "");
    show({ scroll: event.state?.y ?? 0, focus: true });
  });
  addEventListener("scroll", () => {
    clearTimeout(scrolling);
    scrolling = setTimeout(rememberPlace, SCROLLING_MS);
  }, { passive: true });
  addEventListener("keydown", onKey);
}

async function start() {
  $("message").hidden = true;
  try {
    info = await fetchInfo();
  } catch (error) {
    showProblem(error);
    return;
  }
  filterKey = filterKeyOf(info);
  pins = new Pins(info.limits.k);
  board = new Board(info.index.catalogue, sessionStorage);
  board.collect = collect;
  board.addEventListener("change", showBoard);
  wanted = history.state?.wanted ?? PAGE;
  const values = filterKey ? info.attributes[filterKey].top.map(([value]) => String(value)) : [];
  const parts = { nav: $("topics"), row: $("topic-row"), more: $("topic-more") };
  buildTopics(values, filterKey ? humanise(filterKey) : "Categories", parts);
  wire();
  await show({ scroll: history.state?.y ?? 0 });
}

history.scrollRestoration = "manual";
start();
