// The geometry of shifted windows, in numbers alone: no page, no drawing.
//
// The same definitions as swin_tutorial/axis.py and grid.py; a test compares the results over every
// small geometry. A token is named by its home, its (row, column) in the padded map before the
// roll. `locate` says which window holds it and its index there, `origin` is the way back.

/** Return the whole geometry that follows from a map's size, window and shift, all in tokens. */
export function makeGeometry({ height, width, windowSize, shiftSize, padding }) {
  const rows = makeAxis(height, windowSize, shiftSize, padding);
  const columns = makeAxis(width, windowSize, shiftSize, padding);
  // A region is one strip on each axis, numbered row by row.
  const regions = new Int32Array(rows.padded * columns.padded);
  rows.strips.forEach((row, y) => {
    columns.strips.forEach((column, x) => {
      regions[y * columns.padded + x] = row * columns.numStrips + column;
    });
  });
  return Object.freeze({
    height,
    width,
    windowSize,
    shiftSize,
    padding,
    isPadded: rows.padded !== height || columns.padded !== width,
    paddedHeight: rows.padded,
    paddedWidth: columns.padded,
    shiftRows: rows.shift,
    shiftColumns: columns.shift,
    windowRows: rows.padded / windowSize,
    windowColumns: columns.padded / windowSize,
    numWindows: (rows.padded * columns.padded) / windowSize ** 2,
    tokensPerWindow: windowSize ** 2,
    stripRows: rows.numStrips,
    stripColumns: columns.numStrips,
    realStripRows: rows.numRealStrips, // without the strip of the padding
    realStripColumns: columns.numRealStrips,
    regions, // of the rolled map, row by row
  });
}

/** One axis: its padded size, the shift in use, and the strip of each place after the roll. */
function makeAxis(size, windowSize, shiftSize, padding) {
  const padded = Math.ceil(size / windowSize) * windowSize;
  // Where one window spans the axis there is nothing to shift.
  const shift = Math.min(shiftSize, padded - windowSize);
  // The strips begin at shift, shift + window, ...: the edge cut off the start of the first one.
  const cutOff = (windowSize - shift) % windowSize;
  const stripOf = (home) => Math.floor((home + cutOff) / windowSize);
  // Masked padding has a strip of its own, after those that hold real tokens.
  const isMasked = (home) => padding === "mask" && home >= size;
  const numRealStrips = stripOf((padding === "mask" ? size : padded) - 1) + 1;
  const strips = Array.from({ length: padded }, (_, place) => {
    const home = (place + shift) % padded;
    return isMasked(home) ? numRealStrips : stripOf(home);
  });
  return { padded, shift, strips, numRealStrips, numStrips: Math.max(...strips) + 1 };
}

/** Where the token whose home is (y, x) lies after the roll. */
export function afterRoll(geometry, [y, x]) {
  const { paddedHeight, paddedWidth, shiftRows, shiftColumns } = geometry;
  return [
    (y - shiftRows + paddedHeight) % paddedHeight,
    (x - shiftColumns + paddedWidth) % paddedWidth,
  ];
}

/** The home of the token that lies at (y, x) after the roll. */
export function beforeRoll(geometry, [y, x]) {
  return [
    (y + geometry.shiftRows) % geometry.paddedHeight,
    (x + geometry.shiftColumns) % geometry.paddedWidth,
  ];
}

/** The window that holds a token after the roll, and the token's index in it, row by row. */
export function locate(geometry, home) {
  const [y, x] = afterRoll(geometry, home);
  const size = geometry.windowSize;
  return {
    window: Math.floor(y / size) * geometry.windowColumns + Math.floor(x / size),
    index: (y % size) * size + (x % size),
  };
}

/** The home of a window's token: undoes `locate`. */
export function origin(geometry, window, index) {
  return beforeRoll(geometry, placeAfterRoll(geometry, window, index));
}

function placeAfterRoll({ windowSize, windowColumns }, window, index) {
  return [
    Math.floor(window / windowColumns) * windowSize + Math.floor(index / windowSize),
    (window % windowColumns) * windowSize + (index % windowSize),
  ];
}

/** The regions of a window's tokens. */
export function regionsOfWindow(geometry, window) {
  return Array.from({ length: geometry.tokensPerWindow }, (_, index) => {
    const [y, x] = placeAfterRoll(geometry, window, index);
    return geometry.regions[y * geometry.paddedWidth + x];
  });
}

/** The region of the token whose home is given. */
export function regionOf(geometry, home) {
  const [y, x] = afterRoll(geometry, home);
  return geometry.regions[y * geometry.paddedWidth + x];
}

/** Whether the token whose home is given is padding. */
export function isPadding(geometry, [y, x]) {
  return y >= geometry.height || x >= geometry.width;
}

/** Whether a region is one of masked padding. */
export function isPaddingRegion({ stripColumns, realStripRows, realStripColumns }, region) {
  const [row, column] = [Math.floor(region / stripColumns), region % stripColumns];
  return row >= realStripRows || column >= realStripColumns;
}

/** A window's mask, query by query: 1 where the query may attend to the key. */
export function windowMask(geometry, window) {
  const regions = regionsOfWindow(geometry, window);
  const tokens = geometry.tokensPerWindow;
  const mask = new Uint8Array(tokens * tokens);
  for (let query = 0; query < tokens; query++) {
    for (let key = 0; key < tokens; key++) {
      mask[query * tokens + key] = regions[query] === regions[key] ? 1 : 0;
    }
  }
  return mask;
}

/** The homes of all tokens of a query's window: those that it may attend to, and the others. */
export function keysOf(geometry, home) {
  const { window, index } = locate(geometry, home);
  const regions = regionsOfWindow(geometry, window);
  const keys = { window, index, allowed: [], forbidden: [] };
  for (let key = 0; key < regions.length; key++) {
    const kind = regions[key] === regions[index] ? keys.allowed : keys.forbidden;
    kind.push(origin(geometry, window, key));
  }
  return keys;
}

/**
 * The different window masks in the order in which they appear: of each its windows, and how many
 * of its pairs are masked. `index` has the pattern of every window.
 */
export function distinctPatterns(geometry) {
  const found = new Map();
  const index = new Int32Array(geometry.numWindows);
  for (let window = 0; window < geometry.numWindows; window++) {
    // Numbered by first appearance, regions are the same list where the masks are the same.
    const seen = new Map();
    const labels = regionsOfWindow(geometry, window).map((region) => {
      if (!seen.has(region)) seen.set(region, seen.size);
      return seen.get(region);
    });
    const name = labels.join();
    if (!found.has(name)) {
      found.set(name, { number: found.size, windows: [], masked: maskedPairs(labels) });
    }
    const pattern = found.get(name);
    pattern.windows.push(window);
    index[window] = pattern.number;
  }
  return { patterns: [...found.values()], index };
}

function maskedPairs(labels) {
  const sizes = new Map();
  for (const label of labels) sizes.set(label, (sizes.get(label) ?? 0) + 1);
  return labels.length ** 2 - [...sizes.values()].reduce((sum, size) => sum + size ** 2, 0);
}
