// The explorer: one view at a time, read from the address, answered by POST /recommend.

import { holdKey, info as fetchInfo } from "./api.js";
import { Board } from "./board.js";
import { filterKeyOf, humanise } from "./catalogue.js";
import { Filters } from "./filters.js";
import { Page } from "./page.js";
import { Pages } from "./pages.js";
import { Places } from "./places.js";
import { Pins, queryOf } from "./questions.js";
import { parse } from "./route.js";
import { buildTopics, markTopics } from "./topics.js";

const TYPING_MS = 280;
const SLIDING_MS = 90;
const $ = (id) => document.getElementById(id);

const places = new Places(show);
const page = new Page({
  back: () => places.back(),
  retry: () => (catalogue ? show() : start()),
  forget,
  less: lessLike,
  forgetKey() {
    holdKey(null);
    show();
  },
});
let catalogue = null;
let view, pages, filters;
let shownKey = null;
let running = null;
let typing, sliding;

async function show({ scroll = null, focus = false, isMore = false } = {}) {
  if (!catalogue) return;
  running?.abort();
  const control = (running = new AbortController());
  const { board, pins } = catalogue;
  view = parse(location.hash);
  // Another order of the same view glides; another view is drawn afresh.
  const key = JSON.stringify([view.view, view.pin, view.view === "board" || view.q, view.category]);
  const isEmpty = view.view === "board" && view.board.length === 0 && !view.q;
  page.busy(true);
  if (view.view === "board" && view.board.length) board.replace(view.board);
  page.showControls(view, isEmpty);
  markTopics($("topic-row"), view);
  filters.show(view.filters);
  try {
    if (!isMore || !pages) {
      pages = new Pages(queryOf(view, catalogue), (query, signal) => pins.ask(query, signal));
    }
    const about = view.view === "pin" ? [view.pin] : view.board;
    const [, named] = await Promise.all([
      isEmpty ? null : pages.fill(places.pages, control.signal),
      pins.find([...about, ...view.less], control.signal),
    ]);
    if (control.signal.aborted) return;
    const leading = named.filter(({ id }) => about.includes(id));
    page.show(view, isEmpty ? null : pages, leading, key !== shownKey);
    shownKey = key;
    if (scroll !== null) scrollTo(0, scroll);
    if (focus) ($("lead").querySelector("h1") ?? $("main")).focus({ preventScroll: true });
  } catch (error) {
    if (error.name === "AbortError") return;
    shownKey = null;
    pages = null;
    page.showProblem(error);
  }
  if (running === control) page.busy(false);
}

function forget(list, id) {
  const left = view[list].filter((each) => each !== id);
  if (list === "board") catalogue.board.replace(left);
  places.change({ ...view, [list]: left });
}

function lessLike(item) {
  places.change({ ...view, less: [...view.less, item.id] });
  $("main").focus({ preventScroll: true });
}

function collect(item) {
  const { board } = catalogue;
  const wasOn = board.has(item.id);
  const isDone = board.toggle(item.id);
  page.announceCollected(item, { wasOn, isDone });
  if (isDone && view.view === "board") places.change({ ...view, board: board.ids });
}

function searchNow({ isFinal }) {
  const q = $("query").value.trim();
  if (q === view.q && view.view !== "pin") return;
  const isBoard = view.view === "board";
  const { category, diversity } = view;
  const kept = isBoard ? view : { category, diversity, filters: view.filters };
  // Half-typed words replace each other; only the first of them and an Enter make a step back.
  const replace = !isFinal && (isBoard || view.view === "search");
  places.pages = 1;
  places.go({ ...kept, q }, { replace, scroll: 0 });
}

function onKey(event) {
  const isTyping = event.target.matches?.("input");
  if (event.key === "/" && !isTyping && !event.metaKey && !event.ctrlKey) {
    event.preventDefault();
    $("query").focus();
  } else if (event.key === "Escape" && !isTyping && view?.view === "pin") {
    places.back();
  }
}

function wire() {
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
    page.showDiversity();
    clearTimeout(sliding);
    const diversity = Number($("diversity").value);
    sliding = setTimeout(() => places.change({ ...view, diversity }), SLIDING_MS);
  });
  $("more").addEventListener("click", () => places.more());
  $("skip").addEventListener("click", (event) => {
    event.preventDefault();
    $("main").focus();
  });
  $("board-link").addEventListener("click", (event) => {
    event.preventDefault();
    places.go({ view: "board", board: catalogue.board.ids }, { scroll: 0, focus: true });
  });
  addEventListener("popstate", () => {
    clearTimeout(typing);
    clearTimeout(sliding);
  });
  addEventListener("keydown", onKey);
}

async function start() {
  $("message").hidden = true;
  let info;
  try {
    info = await fetchInfo();
  } catch (error) {
    page.showProblem(error);
    page.busy(false);
    return;
  }
  const filterKey = filterKeyOf(info);
  const board = new Board(info.index.catalogue, sessionStorage);
  board.collect = collect;
  board.addEventListener("change", () => page.showBoard());
  catalogue = { info, filterKey, pins: new Pins(), board };
  page.stock(catalogue);
  const values = filterKey ? info.attributes[filterKey].top.map(([value]) => String(value)) : [];
  const parts = { nav: $("topics"), row: $("topic-row"), more: $("topic-more") };
  buildTopics(values, filterKey ? humanise(filterKey) : "Categories", parts);
  filters = new Filters(info, filterKey, {
    button: $("filter-button"), panel: $("filters"), count: $("filter-count"),
    clear: $("filter-clear"), fields: $("filter-fields"),
  }, (next) => places.change({ ...view, filters: next }));
  wire();
  await places.begin();
}

start();
