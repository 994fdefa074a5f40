// What the explorer says: sentences made of numbers, for eyes and for screen readers.

import { isPaddingToken, keysOf, regionOf } from "./geometry.js";

/** Say what a query attends to, and why not to the others. */
export function describeQuery(geometry, query, masked) {
  const keys = keysOf(geometry, query);
  const isPadding = isPaddingToken(geometry, query);
  const tokens = geometry.tokensPerWindow;
  const who = `Query ${place(query)}${isPadding ? ", which is padding," : ""}`;
  const where = `in window ${keys.window}`;
  const reason = reasons(geometry, keys.forbidden, isPadding);
  if (keys.forbidden.length === 0) {
    return `${who} attends to all ${tokens} tokens ${where}: nothing is masked here.`;
  }
  if (!masked) {
    const leaks = `${keys.forbidden.length} of them leak in`;
    return `Mask off: query ${place(query)} attends to all ${tokens} tokens ${where}; ${leaks}: ${reason}.`;
  }
  const count = `${keys.allowed.length} of ${tokens} tokens ${where}`;
  const are = keys.forbidden.length === 1 ? "is" : "are";
  return `${who} attends to ${count}; ${keys.forbidden.length} ${are} masked: ${reason}.`;
}

/** Say what the mask holds for one pair. */
export function describePair(geometry, query, key, form, masked) {
  const regions = [regionOf(geometry, query), regionOf(geometry, key)];
  const may = regions[0] === regions[1];
  const entry = form === "additive" ? (may ? "adds 0" : "adds −∞") : may ? "True" : "False";
  const pair = `Query ${place(query)}, key ${place(key)}`;
  if (may) return `${pair}: ${entry}, both are of ${regionName(geometry, regions[0])}.`;
  const names = regions.map((region) => regionName(geometry, region)).join(" and ");
  const off = masked ? "" : " The mask is off, so this pair leaks.";
  return `${pair}: ${entry}, they are of ${names}.${off}`;
}

/** Say what kinds of windows there are. */
export function describePatterns(geometry, patterns) {
  const masking = patterns.filter((pattern) => pattern.masked > 0);
  const windows = masking.reduce((sum, pattern) => sum + pattern.windows.length, 0);
  const kinds = `${patterns.length} ${patterns.length === 1 ? "pattern" : "patterns"}`;
  return `${kinds}; ${windows} of ${geometry.numWindows} windows mask anything`;
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
  return isPaddingRegion(geometry, region) ? "padding" : `region ${region}`;
}

/** A token's region as a label. */
export function regionLabel(geometry, home) {
  const region = regionOf(geometry, home);
  return isPaddingRegion(geometry, region) ? "pad" : String(region);
}

/** Whether a region is the one that all padding shares. */
export function isPaddingRegion(geometry, region) {
  return geometry.padding === "mask" && region === geometry.paddingId;
}

function reasons(geometry, forbidden, queryIsPadding) {
  if (queryIsPadding && geometry.padding === "mask") {
    return "padding attends to padding alone";
  }
  const pads =
    geometry.padding === "mask" ? forbidden.filter((key) => isPaddingToken(geometry, key)).length : 0;
  const wrapped = forbidden.length - pads;
  const they = pads ? String(wrapped) : wrapped === 1 ? "it" : "they";
  const parts = [];
  if (wrapped) parts.push(`${they} came from the opposite edge of the map`);
  if (pads) parts.push(`${wrapped ? pads : pads === 1 ? "it" : "they"} ${pads === 1 ? "is" : "are"} padding`);
  return parts.join(", ");
}
