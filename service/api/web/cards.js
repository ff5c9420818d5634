// A pin as a card on the wall, as the large sheet of its own view, and as a swatch on the board.

import { print } from "./art.js";
import {
  descriptionOf, factsOf, humanise, imageOf, listsOf, markLanguage, titleOf, valuesOf, valueWords,
} from "./catalogue.js";
import { element, icon } from "./dom.js";
import { hash, themeOf } from "./hues.js";
import { format } from "./route.js";

const SCHEMES = ["pale", "pale", "pale", "tint", "tint", "deep"];
// Any theme may now and then wear one of these, so that a wall of one theme stays lively.
const NEUTRAL = ["contours", "tiles", "scatter", "scallops"];
const RATIOS = [0.8, 1, 1, 1.2, 1.25, 1.4];

/** Give an element the colours of a theme; `turn` moves the hue a little, so that pins differ. */
export function paint(target, themeName, { scheme = "pale", turn = 0 } = {}) {
  const hue = (themeOf(themeName).hue + turn + 360) % 360;
  target.style.setProperty("--h", String(hue));
  // The spot colour comes from the other side: sage on warm grounds, amber on cool ones.
  target.style.setProperty("--spot", hue < 112 || hue > 325 ? "168" : "66");
  target.dataset.scheme = scheme;
  return target;
}

function look(item, filterKey) {
  const theme = valuesOf(item, filterKey)[0] ?? titleOf(item);
  const number = hash(item.id);
  const [first, second] = themeOf(theme).patterns;
  return {
    theme,
    scheme: SCHEMES[number % SCHEMES.length],
    ratio: RATIOS[(number >>> 5) % RATIOS.length],
    turn: ((number >>> 16) % 25) - 12,
    pattern: [first, second, first, second, first, second, NEUTRAL[number % 4]][(number >>> 9) % 7],
    isPoster: (number >>> 12) % 5 < 2,
  };
}

function picture(item, { pattern, ratio }) {
  const drawn = () => print({ seed: item.id, pattern, ratio });
  const frame = element("div", { class: "picture" });
  frame.style.aspectRatio = String(1 / ratio);
  const source = imageOf(item);
  if (!source) {
    frame.append(drawn());
    return frame;
  }
  const image = element("img", {
    src: source, alt: "", loading: "lazy", decoding: "async", referrerpolicy: "no-referrer",
    onload: () => frame.style.removeProperty("aspect-ratio"),
    onerror: () => image.replaceWith(drawn()),
  });
  frame.append(image);
  return frame;
}

const words = (name, className, text) =>
  markLanguage(element(name, { class: className }, text), text);

/** Build a card. `filterKey` names the theme's attribute, `keep` goes into its address. */
export function card(item, { filterKey, board, onLess, keep }) {
  const style = look(item, filterKey);
  const title = titleOf(item);
  const description = descriptionOf(item);
  const isPoster = style.isPoster && !imageOf(item);
  const link = element("a", { class: "card-link", href: format({ pin: item.id, ...keep }) });
  if (isPoster) {
    link.append(
      element("div", { class: "sheet" },
        words("h3", "card-title", title),
        description && words("p", "excerpt", description),
      ),
      picture(item, { ...style, ratio: 0.42 + (style.ratio % 0.3) }),
    );
  } else {
    link.append(picture(item, style), words("h3", "card-title", title));
  }
  const topics = valuesOf(item, filterKey).map(humanise).slice(0, 2).join(", ");
  const shape = isPoster ? "poster" : "plate";
  const made = element("article", { class: `card ${shape}`, role: "listitem" },
    link,
    element("div", { class: "card-foot" },
      words("p", "topic-of", topics),
      onLess && element("button", {
        type: "button",
        class: "sign less",
        title: "Less like this",
        "aria-label": `Less like this: ${title}`,
        onclick: () => onLess(item),
      }, icon("less")),
      collectButton(item, board, "sign"),
    ),
    element("details", { class: "reason", hidden: true }),
  );
  made.dataset.id = item.id;
  return paint(made, style.theme, style);
}

/** A button that puts a pin on the board and shows whether it is there. */
export function collectButton(item, board, className) {
  const title = titleOf(item);
  const button = element("button", { type: "button", class: `${className} collect` });
  const update = () => {
    const isOn = board.has(item.id);
    button.setAttribute("aria-pressed", String(isOn));
    button.title = isOn ? "On your board" : "Add to board";
    button.setAttribute("aria-label", `${isOn ? "Take off the board" : "Add to board"}: ${title}`);
    const label = className === "sign" ? [] : [isOn ? "On your board" : "Add to board"];
    button.replaceChildren(icon(isOn ? "check" : "plus"), ...label);
  };
  button.addEventListener("click", () => board.collect(item));
  button.addEventListener("board", update);
  update();
  return button;
}

function factText(key, value) {
  if (typeof value === "number" && /price|cost/i.test(key)) return value.toFixed(2);
  return valueWords(key, value);
}

/** The large sheet of one pin. */
export function sheet(item, { filterKey, board, onBack }) {
  const style = look(item, filterKey);
  const title = titleOf(item);
  const description = descriptionOf(item);
  const heading = words("h1", "sheet-title", title);
  heading.tabIndex = -1;
  const topics = valuesOf(item, filterKey).map((value) =>
    words("a", "topic-of", humanise(value)));
  topics.forEach((link, place) => {
    link.href = format({ category: valuesOf(item, filterKey)[place] });
  });
  const lists = listsOf(item, filterKey).map(([key, values]) =>
    element("ul", { class: "tags", "aria-label": humanise(key) },
      values.slice(0, 14).map((value) => {
        const link = words("a", "tag", String(value));
        link.href = format({ q: String(value) });
        return element("li", {}, link);
      })));
  const facts = factsOf(item, filterKey).slice(0, 8).map(([key, value]) =>
    element("div", {},
      element("dt", {}, humanise(key)),
      words("dd", "", factText(key, value))));
  const made = element("article", { class: "sheet-of-pin" },
    element("button", {
      type: "button", class: "round back", title: "Back", "aria-label": "Back", onclick: onBack,
    }, icon("back")),
    picture(item, { ...style, ratio: 1 }),
    element("div", { class: "sheet-words" },
      element("p", { class: "topics-of" }, topics),
      heading,
      description && words("p", "description", description),
      ...lists,
      facts.length > 0 && element("dl", { class: "facts" }, facts),
      element("p", { class: "sheet-actions" }, collectButton(item, board, "button")),
    ),
  );
  return paint(made, style.theme, style);
}

/** One collected pin in the row above a board's ideas. */
export function swatch(item, { filterKey, onRemove }) {
  const style = look(item, filterKey);
  const title = titleOf(item);
  const link = element("a", { href: format({ pin: item.id }), class: "swatch-link" },
    picture(item, { ...style, ratio: 1 }), words("span", "swatch-title", title));
  const made = element("li", { class: "swatch" }, link,
    element("button", {
      type: "button",
      class: "round",
      "aria-label": `Take off the board: ${title}`,
      onclick: () => onRemove(item.id),
    }, icon("close")));
  return paint(made, style.theme, style);
}

/** The hue under which a pin appears in share bars. */
export function hueOfItem(item, filterKey) {
  return themeOf(look(item, filterKey).theme).hue;
}
