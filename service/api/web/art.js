// Pictures for pins that have none: quiet geometric prints, the same for the same pin every time.

import { dice, hash } from "./hues.js";
import * as patterns from "./patterns.js";
import * as scenes from "./scenes.js";

const PRINTS = { ...scenes, ...patterns };
const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 300;

/**
 * Draw the print of a pin.
 *
 * `ratio` is height over width. Colours are classes, f1 to f6 for fills and s2 to s6 for strokes,
 * so that the style sheet decides what they are in light and in dark.
 */
export function print({ seed, pattern, ratio }) {
  const height = Math.round(WIDTH * ratio);
  const svg = shape("svg", {
    viewBox: `0 0 ${WIDTH} ${height}`,
    preserveAspectRatio: "xMidYMid slice",
    "aria-hidden": "true",
    class: "art",
  });
  const random = dice(hash(`${pattern}:${seed}`));
  const tools = {
    w: WIDTH,
    h: height,
    random,
    between: (low, high) => low + random() * (high - low),
    whole: (low, high) => Math.floor(low + random() * (high - low + 1)),
    pick: (list) => list[Math.floor(random() * list.length)],
    add: (name, attributes) => svg.append(shape(name, attributes)),
  };
  tools.add("rect", { width: WIDTH, height, class: "f1" });
  PRINTS[pattern](tools);
  return svg;
}

function shape(name, attributes) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) {
    const text = typeof value === "number" ? Math.round(value * 10) / 10 : value;
    element.setAttribute(key, String(text));
  }
  return element;
}
