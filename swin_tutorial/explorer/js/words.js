// What the explorer says: sentences made of numbers, for eyes and for screen readers.

import { isPadding, isPaddingRegion, keysOf, regionOf } from "./geometry.js";

export const STAGES = ["Partition", "Shift", "Mask", "Attend", "Un-shift"];

/** Say what a query attends to, and why not to the others. */
export function describeQuery(geometry, query, masked) {
  const keys = keysOf(geometry, query);
  const queryIsPadding = isPadding(geometry, query);
  const who = `${place(query)}${queryIsPadding ? ", which is padding," : ""}`;
  const where = `in window ${keys.window}`;
  const tokens = geometry.tokensPerWindow;
  const all = tokens === 1 ? "the only token" : `all ${tokens} tokens`;
  const denied = keys.forbidden.length;
  if (denied === 0) {
    const made = mixture(geometry, keys.allowed);
    return `Query ${who} attends to ${all} ${where}${made}: nothing is masked here.`;
  }
  const reason = reasons(geometry, keys.forbidden, queryIsPadding);
  if (!masked) {
    const made = mixture(geometry, [...keys.allowed, ...keys.forbidden]);
    const leak = denied === 1 ? "1 of them leaks in" : `${denied} of them leak in`;
    return `Mask off: query ${who} attends to ${all} ${where}${made}; ${leak}: ${reason}.`;
  }
  const made = mixture(geometry, keys.allowed);
  const are = denied === 1 ? "1 is masked" : `${denied} are masked`;
  const count = `${keys.allowed.length} of ${tokens} tokens ${where}${made}`;
  return `Query ${who} attends to ${count}; ${are}: ${reason}.`;
}

/** Say what the mask holds for one pair. */
export function describePair(geometry, query, key, form, masked) {
  const regions = [regionOf(geometry, query), regionOf(geometry, key)];
  const [yes, no] = form === "additive" ? ["adds 0", "adds −∞"] : ["True", "False"];
  const pair = `Query ${place(query)}, key ${place(key)}`;
  if (regions[0] === regions[1]) {
    return `${pair}: ${yes}, both are in ${regionName(geometry, regions[0])}.`;
  }
  const names = regions.map((region) => regionName(geometry, region)).join(" and ");
  if (masked) return `${pair}: ${no}, ${names}.`;
  const would = form === "additive" ? "add −∞" : "be False";
  return `${pair}: ${yes}, because the mask is off. With the mask it would ${would}: ${names}.`;
}

/** Say what kinds of windows there are. */
export function describePatterns(geometry, patterns, masked) {
  const masking = patterns.filter((pattern) => pattern.masked > 0);
  const windows = masking.reduce((sum, pattern) => sum + pattern.windows.length, 0);
  const all = geometry.numWindows;
  const kinds = `${patterns.length} ${patterns.length === 1 ? "pattern" : "patterns"}`;
  if (windows === 0) return `${kinds}; no window masks anything`;
  const who = all === 1 ? "the only window" : `${windows} of ${all} windows`;
  const verb = windows === 1 ? "masks" : "mask";
  return `${kinds}; ${who} ${verb} something${masked ? "" : " when the mask is on"}`;
}

/** Say what the sizes are, and why the shift in use may not be the one that was set. */
export function describeSizes(geometry) {
  const { height, width, numWindows, windowSize, shiftSize } = geometry;
  const windows = `${numWindows} ${numWindows === 1 ? "window" : "windows"}`;
  const spanned = spannedAxes(geometry);
  const shift =
    !spanned || !shiftSize
      ? `shift ${shiftSize}`
      : `shift ${shiftWords(geometry)}, as one window spans the ${spanned}: nothing is shifted there`;
  return `${height} × ${width} tokens · ${windows} of ${windowSize} × ${windowSize} · ${shift}`;
}

/** The title of the rolled map at a step; while its tokens are on their way, that they are. */
export function stageTitle(geometry, stage, isMoving) {
  const isShifted = shiftOf(geometry) > 0;
  const by = shiftWords(geometry);
  if (stage === 0) return isShifted ? "Partition: the true windows" : "Partition: the windows";
  if (stage === 4) return isMoving ? `Rolling back by ${by} …` : "Un-shift: every token at home";
  if (isMoving) return `Rolling by ${by} …`;
  if (isShifted) return `Rolled by ${by}, and cut into windows`;
  return geometry.shiftSize ? "Nothing to roll: one window spans the map" : "Nothing to roll: shift 0";
}

/** What there is to see at a step, as it is for this geometry and this query. */
export function stageNote(geometry, stage, query, masked) {
  const { shiftRows, shiftColumns } = geometry;
  const isShifted = shiftOf(geometry) > 0;
  const keys = keysOf(geometry, query);
  const window = `window ${keys.window}`;
  if (stage === 0) {
    const one = `one for each ${isShifted ? "true " : ""}window`;
    const padding = masksPadding(geometry) ? " Padding has regions of its own." : "";
    return `Colors and numbers: regions, ${one}.${padding}`;
  }
  if (stage === 1) {
    if (!isShifted) return "Nothing moves.";
    const ways = [shiftRows && "up", shiftColumns && "left"].filter(Boolean).join(" and ");
    return `Moved ${ways}: equal windows again, some with several regions.`;
  }
  if (stage === 2) {
    const found = new Set([...keys.allowed, ...keys.forbidden].map((one) => regionOf(geometry, one)));
    if (found.size === 1) return `One region in ${window}: the mask forbids nothing there.`;
    const mix = masked ? "the mask separates them" : "the mask is off, so they mix";
    return `${found.size} regions in ${window}: ${mix}.`;
  }
  if (stage === 3) {
    const seen = masked ? keys.allowed.length : geometry.tokensPerWindow;
    return seen === 1 ? "The query attends to itself alone." : "Rays: the keys that the query attends to.";
  }
  if (!isShifted) return "Nothing was moved, so nothing moves back.";
  if (keys.forbidden.length === 0) return `The tokens of ${window} are one piece of the map here too.`;
  if (isPadding(geometry, query) && masksPadding(geometry)) {
    return "Padding attends only to padding of its own region, here as after the roll.";
  }
  const wrapped = keys.forbidden.filter((key) => !isPaddingRegion(geometry, regionOf(geometry, key)));
  const kind = masked ? "masked" : "leaking";
  if (wrapped.length === 0) return `Every ${kind} key of ${window} is padding.`;
  const lie = wrapped.length === 1 ? "key lies" : "keys lie";
  return `${wrapped.length} ${kind} ${lie} at the opposite edge here, in ${window} after the roll.`;
}

/** What the map before the roll is cut into. */
export function homeNote(geometry) {
  const windows =
    shiftOf(geometry) > 0
      ? "Cut into the true windows, some cut short by the border."
      : geometry.numWindows === 1
        ? "One window."
        : "Cut into windows.";
  if (!geometry.isPadded) return windows;
  return `${windows} Hatched: padding.`;
}

/** What the matrix's colors mean. */
export function matrixNote(form, masked) {
  const [yes, no] = form === "additive" ? ["0", "−∞"] : ["True", "False"];
  if (!masked) return `Queries down, keys across. All ${yes}: the mask is off. Red, hatched: ${no} with it.`;
  const added = form === "additive" ? "added to the score, " : "";
  return (
    `Queries down, keys across. Light = ${yes} (${added}may attend); ` +
    `dark, hatched = ${no} (${added}may not).`
  );
}

/** The letter that names a pattern. */
export function patternName(number) {
  return String.fromCharCode(65 + number);
}

/** A place as the sentences write it. */
export function place([y, x]) {
  return `(${y}, ${x})`;
}

/** A region's name. */
export function regionName(geometry, region) {
  return `region ${region}${isPaddingRegion(geometry, region) ? " (padding)" : ""}`;
}

function masksPadding(geometry) {
  return geometry.isPadded && geometry.padding === "mask";
}

function shiftOf({ shiftRows, shiftColumns }) {
  return Math.max(shiftRows, shiftColumns);
}

/** The shift in use: on both axes, on one, or none. */
function shiftWords({ shiftRows, shiftColumns }) {
  if (shiftRows === shiftColumns) return String(shiftRows);
  return shiftRows ? `${shiftRows} rows, 0 columns` : `0 rows, ${shiftColumns} columns`;
}

function spannedAxes({ windowRows, windowColumns }) {
  if (windowRows === 1 && windowColumns === 1) return "map";
  return windowRows === 1 ? "height" : windowColumns === 1 ? "width" : "";
}

/** How many of the tokens are real and how many padding, if there are both. */
function mixture(geometry, homes) {
  const pads = homes.filter((home) => isPadding(geometry, home)).length;
  return pads && pads < homes.length ? ` (${homes.length - pads} real, ${pads} padding)` : "";
}

function reasons(geometry, forbidden, queryIsPadding) {
  const pads = forbidden.filter((key) => isPadding(geometry, key)).length;
  if (geometry.padding === "attend") {
    const they = forbidden.length === 1 ? "it lies" : "they lie";
    const edge = `at the opposite edge of the ${geometry.isPadded ? "padded " : ""}map`;
    return `${they} ${edge}${pads ? ` (${pads} of them padding)` : ""}`;
  }
  if (queryIsPadding) return "padding attends only to padding of its own region";
  const wrapped = forbidden.length - pads;
  const they = pads ? String(wrapped) : wrapped === 1 ? "it" : "they";
  const parts = [];
  if (wrapped) parts.push(`${they} came from the opposite edge of the map`);
  if (pads) parts.push(`${wrapped ? pads : pads === 1 ? "it" : "they"} ${pads === 1 ? "is" : "are"} padding`);
  return parts.join(", ");
}
