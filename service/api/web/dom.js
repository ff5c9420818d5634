// The one way this page builds elements. Catalogue text only ever becomes text nodes.

/** element("p", {class: "note", hidden: true, onclick: f}, "text", child) */
export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else made.setAttribute(key, value === true ? "" : String(value));
  }
  made.append(...children.flat().filter((child) => child || child === 0));
  return made;
}

const SVG = "http://www.w3.org/2000/svg";
const ICONS = {
  plus: "M10 4v12M4 10h12",
  check: "m4.5 10.5 3.7 3.7 7.3-8",
  less: "M4 10h12",
  close: "m5 5 10 10M15 5 5 15",
  back: "M12 4 6 10l6 6",
};

/** A small drawn sign, silent to screen readers. */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 20 20");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  return svg;
}
