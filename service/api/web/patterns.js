// Prints that repeat something: tiles, stitches, waves.
// Each print gets {w, h, random, between, whole, pick, add} and draws on a ground of tone f1.
// Tones go from f2, close to the ground, to f5, the furthest; f6 is a spot of another colour.

import { leaf, point, swell } from "./shapes.js";

export function scallops({ w, h, whole, pick, add }) {
  const radius = pick([30, 37.5, 50]);
  const lit = whole(0, 6);
  let row = 0;
  for (let y = -radius * 0.5; y < h + radius; y += radius * 0.5) {
    const offset = row % 2 ? radius : 0;
    for (let x = offset, place = 0; x <= w + radius; x += radius * 2, place += 1) {
      const tone = (row * 3 + place * 5 + lit) % 11 === 0 ? "f6" : row % 3 ? "f3" : "f4";
      add("circle", { cx: x, cy: y + radius, r: radius, class: tone });
      add("circle", { cx: x, cy: y + radius, r: radius * 0.74, class: "f1" });
      add("circle", { cx: x, cy: y + radius, r: radius * 0.48, class: tone });
      add("circle", { cx: x, cy: y + radius, r: radius * 0.22, class: "f1" });
    }
    row += 1;
  }
}

export function scatter({ w, h, between, pick, random, add }) {
  const cell = pick([75, 100]);
  for (let y = cell / 2; y < h + cell / 2; y += cell) {
    for (let x = cell / 2; x < w; x += cell) {
      const cx = x + between(-9, 9);
      const cy = y + between(-9, 9);
      const size = cell * between(0.2, 0.36);
      const tone = pick(["f2", "f3", "f4", "f5", "f6"]);
      const turn = `rotate(${Math.round(random() * 360)} ${point(cx, cy)})`;
      const kind = random();
      if (kind < 0.36) add("circle", { cx, cy, r: size, class: tone });
      else if (kind < 0.66) add("path", {
        d: `M${point(cx - size, cy)} a${size} ${size} 0 0 1 ${size * 2} 0Z`, class: tone,
        transform: turn,
      });
      else if (kind < 0.86) add("rect", {
        x: cx - size, y: cy - size * 0.34, width: size * 2, height: size * 0.68, rx: size * 0.34,
        class: tone, transform: turn,
      });
      else add("circle", {
        cx, cy, r: size * 0.8, class: `s${tone[1]}`, "stroke-width": size * 0.4,
      });
    }
  }
}

export function waves({ w, h, between, whole, add }) {
  const bands = whole(6, 9);
  const phase = between(0, 6.3);
  const turns = between(0.6, 1.4);
  const height = between(12, 26);
  for (let band = 0; band < bands; band += 1) {
    const y = (band / bands) * h + h / bands / 2;
    const tone = ["f2", "f3", "f1", "f4", "f2", "f6", "f3", "f5", "f4"][(band + bands) % 9];
    add("path", {
      d: `${swell(w, y, height, turns, phase + band * 0.35)} L${w} ${h} L0 ${h}Z`, class: tone,
    });
  }
}

export function tiles({ w, h, pick, random, add }) {
  const size = pick([60, 75, 100]);
  for (let y = 0; y < h; y += size) {
    for (let x = 0; x < w; x += size) {
      add("rect", {
        x, y, width: size + 0.5, height: size + 0.5, class: pick(["f1", "f1", "f2", "f3"]),
      });
      const turn = `rotate(${pick([0, 90, 180, 270])} ${point(x + size / 2, y + size / 2)})`;
      const tone = random() < 0.12 ? "f6" : pick(["f2", "f4", "f5", "f4"]);
      const d = random() < 0.7
        ? `M${x} ${y} h${size} a${size} ${size} 0 0 1 ${-size} ${size}Z`
        : `M${x} ${y + size / 2} a${size / 2} ${size / 2} 0 0 1 ${size} 0Z`;
      add("path", { d, class: tone, transform: turn });
    }
  }
}

export function weave({ w, h, whole, pick, add }) {
  const stitch = pick([20, 25, 30]);
  const stripe = whole(3, 5);
  const bands = [pick(["f3", "f4"]), pick(["f2", "f5"]), pick(["f4", "f6"])];
  for (let y = -stitch, row = 0; y < h + stitch; y += stitch * 0.72, row += 1) {
    const tone = bands[Math.floor(row / stripe) % 3];
    for (let x = 0; x < w; x += stitch) {
      const half = stitch / 2;
      add("path", {
        d: leaf(x + half, y + stitch, stitch * 1.06, stitch * 0.36, -2.1), class: tone,
      });
      add("path", {
        d: leaf(x + half, y + stitch, stitch * 1.06, stitch * 0.36, -1.04), class: tone,
      });
    }
  }
}

export function rows({ w, h, between, whole, pick, add }) {
  const lines = whole(5, 8);
  const pitch = h / lines;
  for (let line = 0; line < lines; line += 1) {
    let x = 18;
    const tone = pick(["3", "4", "5"]);
    while (x < w - 18) {
      const length = Math.min(between(14, 92), w - 18 - x);
      const y = pitch * (line + 0.5);
      const colour = between(0, 1) < 0.08 ? "6" : tone;
      add("path", {
        d: `M${point(x + 6, y)} h${Math.max(0.1, length - 12).toFixed(1)}`, class: `s${colour}`,
        "stroke-width": pitch * 0.34, "stroke-linecap": "round",
      });
      x += length + pitch * 0.44;
    }
  }
}

export function contours({ w, h, between, add }) {
  const cx = w * between(0.2, 0.8);
  const cy = h * between(0.25, 0.75);
  const phase = between(0, 6.3);
  const lobes = Math.round(between(2, 4));
  ["f2", "f3", "f2", "f4", "f3", "f5", "f6"].forEach((tone, ring) => {
    const reach = Math.max(w, h) * (0.72 - ring * 0.1);
    let d = "";
    for (let step = 0; step < 60; step += 1) {
      const angle = (step / 60) * Math.PI * 2;
      const lobe = Math.sin(angle * lobes + phase + ring * 0.22) * 0.13;
      const far = reach * (1 + lobe + Math.sin(angle * 5 + phase) * 0.03);
      const edge = point(cx + Math.cos(angle) * far, cy + Math.sin(angle) * far);
      d += `${step ? "L" : "M"}${edge} `;
    }
    add("path", { d: `${d}Z`, class: tone });
  });
}
