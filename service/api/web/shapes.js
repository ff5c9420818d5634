// Forms that several prints share. All of them return the `d` of an SVG path.

/** Two coordinates as a path wants them. */
export const point = (x, y) => `${x.toFixed(1)} ${y.toFixed(1)}`;

/** A leaf from (x, y) in a direction; `angle` in radians. */
export function leaf(x, y, length, width, angle) {
  const tip = [x + Math.cos(angle) * length, y + Math.sin(angle) * length];
  const side = angle + Math.PI / 2;
  const middle = [(x + tip[0]) / 2, (y + tip[1]) / 2];
  const bulge = [Math.cos(side) * width, Math.sin(side) * width];
  const one = point(middle[0] + bulge[0], middle[1] + bulge[1]);
  const other = point(middle[0] - bulge[0], middle[1] - bulge[1]);
  return `M${point(x, y)} Q${one} ${point(...tip)} Q${other} ${point(x, y)}Z`;
}

/** The upper edge of a wave across the whole width. */
export function swell(w, y, height, waves, phase) {
  const steps = 24;
  let path = "";
  for (let step = 0; step <= steps; step += 1) {
    const at = step / steps;
    const lift = Math.sin(at * Math.PI * 2 * waves + phase) * height;
    path += `${step ? "L" : "M"}${point(at * w, y + lift)} `;
  }
  return path;
}
