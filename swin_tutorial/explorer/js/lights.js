// What is lit for a query, `lit`: the keys of its window (`keysOf`), the query, a key or null, and
// whether the mask is on.

import { COLORS, regionColor } from "./colors.js";
import { afterRoll, locate, regionOf } from "./geometry.js";
import { drawRays, mark, outlineWindows } from "./maps.js";
import { drawCross, drawMatrix } from "./matrix.js";
import { matrixNote } from "./words.js";

/** Light the tokens where they are before the roll. */
export function lightHome(view, lit) {
  const { light, cell } = view;
  markTokens(view, lit, (home, kind) => mark(light, home, cell, kind));
  if (lit.key) mark(light, lit.key, cell, "key");
}

/** Light the tokens where the stage has them, and outline `windows` of the rolled map. */
export function lightRolled(view, geometry, lit, stages, windows) {
  const { light, cell } = view;
  // On their way, too, the marks go with their tokens.
  const placeOf = (home) =>
    afterRoll(geometry, home).map((end, axis) => home[axis] + (end - home[axis]) * stages.roll);
  // Where the regions are colored, a lit token still says which one it is in.
  const markToken = (home, kind) => {
    const region = regionOf(geometry, home);
    const label = { text: String(region), color: regionColor(geometry, region) };
    mark(light, placeOf(home), cell, kind, label);
  };
  markTokens(view, lit, markToken, () => {
    if (stages.roll === 1) outlineWindows(light, geometry, cell, windows, COLORS.query);
    if (stages.isAttend) {
      const { allowed, forbidden } = lit.keys;
      const seen = lit.masked ? allowed : [...allowed, ...forbidden];
      drawRays(light, placeOf(lit.query), seen.map(placeOf), cell, stages.rays);
    }
  });
  if (lit.key) mark(light, placeOf(lit.key), cell, "key");
}

function markTokens({ light, overlay }, { keys, query, masked }, markToken, below = () => {}) {
  light.clearRect(0, 0, overlay.width, overlay.height);
  for (const home of keys.allowed) markToken(home, "allowed");
  for (const home of keys.forbidden) markToken(home, masked ? "forbidden" : "leak");
  below(); // the query's mark
  markToken(query, "query");
}

/** Show the mask of the query's window, if another one is painted, and light the query's row. */
export function lightMatrix(view, geometry, lit, form, pattern) {
  const { pen, light, cell, margin, caption, overlay, note } = view;
  const { keys, key, masked } = lit;
  if (view.paintedWindow !== keys.window) {
    drawMatrix(pen, geometry, keys.window, cell, margin, { masked, form });
    view.paintedWindow = keys.window;
  }
  const keyIndex = key ? locate(geometry, key).index : null;
  drawCross(light, geometry.tokensPerWindow, cell, margin, keys.index, keyIndex);
  const title = `Mask of window ${keys.window}`;
  caption.textContent = `${title} (pattern ${pattern})`;
  overlay.setAttribute("aria-label", `${title}: queries down, keys across`);
  note.textContent = matrixNote(form, masked);
}
