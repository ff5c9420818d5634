// A colour and a pattern for each theme: by what its name means where we know, else by its hash.

/** FNV-1a, 32 bits. */
export function hash(text) {
  let value = 0x811c9dc5;
  for (let index = 0; index < text.length; index += 1) {
    value = Math.imul(value ^ text.charCodeAt(index), 0x01000193);
  }
  // The last bits of FNV follow the last letters too closely; stir once more.
  value = Math.imul(value ^ (value >>> 15), 0x2c1b3c6d);
  return (value ^ (value >>> 13)) >>> 0;
}

/** Reproducible numbers in [0, 1): mulberry32. */
export function dice(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

// First match wins. Hues are OKLCH degrees.
const MEANINGS = [
  [/japan|日本/i, 18, ["hills", "scallops"]],
  [/hik|camp|travel|mountain|outdoor|旅|山|landscape/i, 178, ["hills", "contours"]],
  [/nail|hair|beauty|makeup|美|发/i, 338, ["waves", "stack"]],
  [/paint|draw|\barts?\b|画/i, 252, ["contours", "petals"]],
  [/vegetable|蔬|seed/i, 122, ["rows", "leaves"]],
  [/houseplant|indoor plant|绿植/i, 158, ["leaves", "arches"]],
  [/garden|balcony|plant|herb|园|花/i, 140, ["leaves", "petals"]],
  [/coffee|tea\b|咖啡|茶|breakfast|早餐|drink|饮/i, 62, ["cups", "plates"]],
  [/cocktail|bar\b|wine|酒/i, 352, ["cups", "orbit"]],
  [/bak|bread|dessert|面包|甜|烘焙|主食|staple/i, 74, ["plates", "scallops"]],
  [/preserv|pickl|jam|soup|汤|condiment/i, 30, ["stack", "scallops"]],
  [/chin|中国|中式|meat|荤|肉|aquatic|水产/i, 33, ["scallops", "plates"]],
  [/street|dinner|cook|food|recipe|meal|菜|食/i, 50, ["plates", "scatter"]],
  [/bath|skin|water|sea|浴|海/i, 212, ["waves", "stack"]],
  [/bedroom|sleep|night|卧/i, 285, ["arches", "orbit"]],
  [/office|desk|work|办公/i, 235, ["frames", "tiles"]],
  [/wedding|bride|romance|婚|jewel|首饰/i, 5, ["petals", "arches"]],
  [/knit|crochet|textile|fashion|wardrobe|衣|织/i, 305, ["weave", "waves"]],
  [/cycl|bike|car\b|sport|run|骑/i, 198, ["orbit", "hills"]],
  [/kid|child|family|toy|孩|童|comedy|喜剧/i, 84, ["scatter", "tiles"]],
  [/letter|calligra|typograph|书法|字/i, 268, ["rows", "tiles"]],
  [/photo|film|camera|摄影|sci-fi|science/i, 225, ["orbit", "frames"]],
  [/kitchen|living|home|interior|room|furniture|家|室|wood|diy/i, 92, ["frames", "arches"]],
];
const PATTERNS = [
  "leaves", "petals", "cups", "plates", "stack", "scallops", "scatter", "hills", "waves",
  "arches", "frames", "tiles", "weave", "rows", "contours", "orbit",
];

/** {hue, patterns} of a theme, the same on every visit. */
export function themeOf(name) {
  const seed = hash(name);
  const meaning = MEANINGS.find(([words]) => words.test(name));
  const nudge = (seed % 13) - 6;
  if (meaning) return { hue: (meaning[1] + nudge + 360) % 360, patterns: meaning[2] };
  const first = seed % PATTERNS.length;
  const second = (first + 1 + ((seed >>> 8) % (PATTERNS.length - 1))) % PATTERNS.length;
  return { hue: ((seed >>> 4) % 24) * 15, patterns: [PATTERNS[first], PATTERNS[second]] };
}
