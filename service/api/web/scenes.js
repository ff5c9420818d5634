// Prints that show something: plants, plates, hills, rooms.
// Each print gets {w, h, random, between, whole, pick, add} and draws on a ground of tone f1.
// Tones go from f2, close to the ground, to f5, the furthest; f6 is a spot of another colour.

import { leaf, point, swell } from "./shapes.js";

/** A plant in a pot: long leaves fanning out of it. */
function potted({ w, h, between, whole, pick, add }) {
  const x = w / 2 + between(-20, 20);
  const rim = h - Math.min(96, h * 0.32);
  add("circle", { cx: x + between(-50, 50), cy: h * 0.36, r: between(70, 100), class: "f2" });
  add("rect", { x: 0, y: h - 26, width: w, height: 26, class: "f3" });
  const count = whole(5, 8);
  for (let blade = 0; blade < count; blade += 1) {
    const angle = -Math.PI / 2 + ((blade + 0.5) / count - 0.5) * 2.5 + between(-0.08, 0.08);
    const length = Math.min(rim * 0.86, between(104, 190));
    add("path", {
      d: leaf(x, rim + 6, length, between(22, 36), angle), class: pick(["f3", "f4", "f5", "f4"]),
    });
  }
  const half = between(46, 58);
  add("path", {
    d: `M${point(x - half, rim)} h${half * 2} l-13 ${h - 14 - rim} h${-(half * 2 - 26)}Z`,
    class: "f6",
  });
  add("rect", {
    x: x - half - 6, y: rim - 8, width: half * 2 + 12, height: 20, rx: 4,
    class: pick(["f5", "f6"]),
  });
}

export function leaves(tools) {
  const { w, h, between, whole, pick, add } = tools;
  if (h > 170 && between(0, 1) < 0.45) {
    potted(tools);
    return;
  }
  if (between(0, 1) < 0.6) {
    add("circle", {
      cx: between(60, w - 60), cy: between(0.16, 0.4) * h, r: between(34, 62),
      class: pick(["f2", "f6"]),
    });
  }
  const stems = whole(2, 4);
  for (let stem = 0; stem < stems; stem += 1) {
    const x = ((stem + 0.5) / stems) * w + between(-14, 14);
    const top = h * between(0.12, 0.42);
    const tone = ["3", "4", "5"][(stem + whole(0, 2)) % 3];
    const size = between(38, 58);
    add("path", {
      d: `M${point(x, h + 4)} L${point(x, top)}`, class: `s${tone}`, "stroke-width": 3,
    });
    for (let y = h - size * 0.3; y > top + size * 0.4; y -= size * 0.56) {
      add("path", { d: leaf(x, y, size, size * 0.36, -0.62), class: `f${tone}` });
      add("path", { d: leaf(x, y, size, size * 0.36, Math.PI + 0.62), class: `f${tone}` });
    }
    add("path", {
      d: leaf(x, top + size * 0.45, size, size * 0.36, -Math.PI / 2), class: `f${tone}`,
    });
  }
}

export function petals({ w, h, between, whole, pick, add }) {
  const blooms = whole(2, 4);
  for (let bloom = 0; bloom < blooms; bloom += 1) {
    const x = between(0.12, 0.88) * w;
    const y = ((bloom + 0.5) / blooms) * h + between(-12, 12);
    const radius = between(52, 92) * (bloom ? 0.8 : 1.1);
    const count = pick([6, 8, 8, 12]);
    const turn = between(0, Math.PI);
    const tone = pick(["f2", "f3", "f4"]);
    for (let petal = 0; petal < count; petal += 1) {
      const angle = turn + (petal / count) * Math.PI * 2;
      add("path", { d: leaf(x, y, radius, (radius * 2.1) / count, angle), class: tone });
    }
    add("circle", { cx: x, cy: y, r: radius * 0.17, class: pick(["f6", "f5"]) });
  }
}

export function cups({ w, h, between, pick, add }) {
  const x = w / 2 + between(-24, 24);
  const radius = between(72, 96);
  const rim = h * between(0.5, 0.58);
  add("circle", {
    cx: x + between(-60, 60), cy: rim - between(30, 70), r: radius * 0.85, class: "f2",
  });
  for (const shift of [-24, 0, 24]) {
    const sway = pick([-9, 9]);
    const top = rim - between(44, 84);
    const from = point(x + shift, rim - 14);
    const bend = point(x + shift + sway * 2, rim - 36);
    const bendBack = point(x + shift - sway * 2, top + 22);
    const d = `M${from} C${bend} ${bendBack} ${point(x + shift, top)}`;
    add("path", { d, class: "s4", "stroke-width": 4, "stroke-linecap": "round" });
  }
  add("path", {
    d: `M${point(x - radius, rim)} a${radius} ${radius} 0 0 0 ${radius * 2} 0Z`, class: "f5",
  });
  add("path", {
    d: `M${point(x + radius - 4, rim + 16)} a26 26 0 1 1 -14 44`, class: "s5", "stroke-width": 9,
  });
  add("path", {
    d: `M${point(x - radius, rim)} h${radius * 2} l-7 ${radius * 0.3} h${-(radius * 2 - 14)}Z`,
    class: pick(["f3", "f4"]),
  });
  add("rect", {
    x: x - radius * 1.3, y: rim + radius + 5, width: radius * 2.6, height: 8, rx: 4, class: "f3",
  });
  add("rect", { x: 0, y: rim + radius + 13, width: w, height: h, class: "f2" });
}

export function plates({ w, h, between, whole, pick, add }) {
  const tables = whole(2, 3);
  for (let table = 0; table < tables; table += 1) {
    const x = (table % 2 ? 0.82 : 0.24) * w + between(-20, 20);
    const y = ((table + 0.45) / tables) * h + between(-14, 14);
    const radius = between(70, 104);
    add("circle", { cx: x, cy: y, r: radius, class: ["f2", "f4", "f3"][table] });
    add("circle", { cx: x, cy: y, r: radius * 0.72, class: ["f3", "f2", "f5"][table] });
    const morsels = whole(3, 6);
    for (let morsel = 0; morsel < morsels; morsel += 1) {
      const angle = (morsel / morsels) * Math.PI * 2 + between(0, 0.6);
      const reach = radius * between(0.2, 0.42);
      const attributes = { cx: x + Math.cos(angle) * reach, cy: y + Math.sin(angle) * reach };
      add("circle", { ...attributes, r: between(7, 17), class: pick(["f6", "f5", "f1", "f4"]) });
    }
  }
}

export function stack({ w, h, between, whole, pick, add }) {
  const ground = h * 0.86;
  add("circle", { cx: w * between(0.25, 0.75), cy: h * 0.3, r: between(48, 78), class: "f2" });
  add("rect", { x: 0, y: ground, width: w, height: h - ground, class: "f3" });
  let y = ground;
  let width = between(150, 196);
  const stones = whole(3, 5);
  for (let stone = 0; stone < stones && y > h * 0.2; stone += 1) {
    const height = between(30, 52);
    const x = w / 2 - width / 2 + between(-12, 12);
    add("rect", {
      x, y: y - height, width, height, rx: height / 2,
      class: ["f5", "f4", "f6", "f3", "f4"][stone],
    });
    y -= height;
    width *= between(0.66, 0.86);
  }
  if (pick([true, false])) add("path", { d: leaf(w / 2, y, 54, 17, -1.1), class: "f5" });
}

export function hills({ w, h, between, pick, add }) {
  const sun = between(34, 58);
  add("circle", {
    cx: between(0.22, 0.78) * w, cy: h * between(0.2, 0.34), r: sun, class: pick(["f6", "f2"]),
  });
  ["f2", "f3", "f4", "f5"].forEach((tone, layer) => {
    const y = h * (0.42 + layer * 0.155);
    const height = between(12, 36) * (1 - layer * 0.12);
    const ridge = swell(w, y, height, between(0.5, 1.1), between(0, 6.3));
    add("path", { d: `${ridge} L${w} ${h} L0 ${h}Z`, class: tone });
  });
}

export function arches({ w, h, between, whole, pick, add }) {
  const doors = whole(1, 2);
  const floor = h * 0.9;
  for (let door = 0; door < doors; door += 1) {
    const x = ((door + 0.5) / doors) * w;
    let half = doors === 1 ? between(94, 116) : between(56, 64);
    const height = h * between(0.5, 0.7) - door * 16;
    for (const tone of pick([["f2", "f3", "f4", "f5"], ["f3", "f1", "f4", "f6"]])) {
      const spring = floor - height + (doors === 1 ? 116 : 64);
      const arch = `a${half} ${half} 0 0 1 ${half * 2} 0 V${floor}Z`;
      add("path", { d: `M${point(x - half, floor)} V${spring} ${arch}`, class: tone });
      half *= 0.72;
    }
  }
  add("rect", { x: 0, y: floor, width: w, height: h - floor, class: "f4" });
  add("circle", { cx: w * between(0.3, 0.7), cy: h * 0.1, r: between(9, 15), class: "f6" });
}

export function frames(tools) {
  const { w, h, between, pick, add } = tools;
  const gap = 12;
  let y = gap + between(0, 10);
  while (y < h - 40) {
    const height = Math.min(between(62, 112), h - y - gap);
    const cut = between(0.3, 0.7) * w;
    for (const [left, right] of [[gap, cut - gap / 2], [cut + gap / 2, w - gap]]) {
      const width = right - left;
      add("rect", { x: left, y, width, height, rx: 3, class: pick(["f2", "f2", "f3", "f4"]) });
      shelved(tools, { left, width, top: y, height });
    }
    y += height + gap;
  }
}

/** What stands in one frame: a ball, an arch, some books, or nothing. */
function shelved({ pick, random, add }, { left, width, top, height }) {
  const cx = left + width / 2;
  const floor = top + height;
  const size = Math.min(height, width) * 0.3;
  const kind = random();
  if (kind < 0.34) {
    add("circle", { cx, cy: floor - size, r: size, class: pick(["f5", "f6"]) });
  } else if (kind < 0.6) {
    const arch = `v${-size} a${size} ${size} 0 0 1 ${size * 2} 0 v${size}Z`;
    add("path", { d: `M${point(cx - size, floor)} ${arch}`, class: pick(["f5", "f1"]) });
  } else if (kind < 0.8) {
    ["f5", "f6", "f4", "f1"].forEach((tone, book) => {
      const head = top + height * 0.35 + (book % 2) * 8;
      const x = left + 10 + book * 13;
      add("rect", { x, y: head, width: 10, height: floor - head, class: tone });
    });
  }
}

export function orbit({ w, h, between, whole, pick, add }) {
  const cx = w * between(0.35, 0.65);
  const cy = h * between(0.4, 0.6);
  const rings = whole(3, 5);
  for (let ring = rings; ring > 0; ring -= 1) {
    const r = 34 + ring * between(26, 32);
    add("circle", { cx, cy, r, class: ring % 2 ? "s3" : "s2", "stroke-width": pick([2, 2, 10]) });
    const angle = between(0, 6.3);
    add("circle", {
      cx: cx + Math.cos(angle) * r, cy: cy + Math.sin(angle) * r, r: between(7, 18),
      class: pick(["f4", "f6", "f5"]),
    });
  }
  add("circle", { cx, cy, r: 40, class: "f5" });
  add("circle", { cx: cx + 13, cy: cy - 9, r: 33, class: pick(["f4", "f3"]) });
}
