// The geometry of shifted windows, in numbers alone: no page, no drawing.
//
// The same definitions as swin_tutorial/windows.py and masks.py, whose results a test compares with
// these over every small geometry. A token has a home, its (row, column) in the padded map as it is,
// and a rolled place, where the cyclic shift moves it; in its window it has a number, row by row.

export const LIMITS = { size: 64, window: 16 };

/** Return the whole geometry that follows from a map's size, window and shift, all in tokens. */
export function makeGeometry({ height, width, windowSize, shiftSize, padding }) {
  const rows = axis(height, windowSize, shiftSize);
  const columns = axis(width, windowSize, shiftSize);
  const isPadded = rows.padded !== height || columns.padded !== width;
  const paddingId = rows.strips * columns.strips;
  const regions = new Int32Array(rows.padded * columns.padded);
  for (let y = 0; y < rows.padded; y++) {
    for (let x = 0; x < columns.padded; x++) {
      const isPadding = rows.stoodAt[y] >= height || columns.stoodAt[x] >= width;
      regions[y * columns.padded + x] =
        padding === "mask" && isPadding
          ? paddingId
          : rows.strip[y] * columns.strips + columns.strip[x];
    }
  }
  return Object.freeze({
    height,
    width,
    windowSize,
    shiftSize,
    padding,
    isPadded,
    paddedHeight: rows.padded,
    paddedWidth: columns.padded,
    shiftRows: rows.shift,
    shiftColumns: columns.shift,
    windowRows: rows.padded / windowSize,
    windowColumns: columns.padded / windowSize,
    numWindows: (rows.padded * columns.padded) / windowSize ** 2,
    tokensPerWindow: windowSize ** 2,
    stripRows: rows.strips, // of the un-rolled windows, the cut-off ones included
    stripColumns: columns.strips,
    regions, // of the rolled map, row by row
    paddingId,
  });
}

/** One axis: its padded size, the shift that is used, and of each rolled place its home and strip. */
function axis(size, windowSize, shiftSize) {
  const padded = Math.ceil(size / windowSize) * windowSize;
  // On an axis that one window spans there is nothing to shift.
  const shift = padded > windowSize ? shiftSize : 0;
  const stoodAt = Array.from({ length: padded }, (_, place) => (place + shift) % padded);
  const strip = stoodAt.map((home) => Math.floor((home - shift) / windowSize) + (shift > 0 ? 1 : 0));
  return { padded, shift, stoodAt, strip, strips: padded / windowSize + (shift > 0 ? 1 : 0) };
}

/** Where the token whose home is (y, x) lies after the roll. */
export function rolledPlace(geometry, [y, x]) {
  const { paddedHeight, paddedWidth, shiftRows, shiftColumns } = geometry;
  return [
    (y - shiftRows + paddedHeight) % paddedHeight,
    (x - shiftColumns + paddedWidth) % paddedWidth,
  ];
}

/** The home of the token that lies at (y, x) after the roll. */
export function homeOf(geometry, [y, x]) {
  return [
    (y + geometry.shiftRows) % geometry.paddedHeight,
    (x + geometry.shiftColumns) % geometry.paddedWidth,
  ];
}

/** The window that holds a token, and the token's number in it. */
export function windowOf(geometry, home) {
  const [y, x] = rolledPlace(geometry, home);
  const size = geometry.windowSize;
  return {
    window: Math.floor(y / size) * geometry.windowColumns + Math.floor(x / size),
    token: (y % size) * size + (x % size),
  };
}

/** The home of a window's token. */
export function homeInWindow(geometry, window, token) {
  return homeOf(geometry, rolledInWindow(geometry, window, token));
}

/** The rolled place of a window's token. */
export function rolledInWindow(geometry, window, token) {
  const { windowSize, windowColumns } = geometry;
  return [
    Math.floor(window / windowColumns) * windowSize + Math.floor(token / windowSize),
    (window % windowColumns) * windowSize + (token % windowSize),
  ];
}

/** The regions of a window's tokens: the number of the un-rolled window that each came from. */
export function regionsOfWindow(geometry, window) {
  return Array.from({ length: geometry.tokensPerWindow }, (_, token) => {
    const [y, x] = rolledInWindow(geometry, window, token);
    return geometry.regions[y * geometry.paddedWidth + x];
  });
}

/** The region of the token whose home is given. */
export function regionOf(geometry, home) {
  const [y, x] = rolledPlace(geometry, home);
  return geometry.regions[y * geometry.paddedWidth + x];
}

/** Whether the token whose home is given is padding. */
export function isPaddingToken(geometry, [y, x]) {
  return y >= geometry.height || x >= geometry.width;
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

/** The homes of all tokens of a query's window, parted into those that it may attend to and not. */
export function keysOf(geometry, home) {
  const { window, token } = windowOf(geometry, home);
  const regions = regionsOfWindow(geometry, window);
  const keys = { window, token, allowed: [], forbidden: [] };
  for (let key = 0; key < regions.length; key++) {
    const kind = regions[key] === regions[token] ? keys.allowed : keys.forbidden;
    kind.push(homeInWindow(geometry, window, key));
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
    // Numbered by first appearance, regions are the same list iff the masks are the same.
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

/** Return sizes that can be, as near as possible to the wanted ones, and why they were changed. */
export function clampSizes(wanted) {
  const reasons = [];
  const within = (name, value, low, high, why) => {
    const number = Number.isFinite(value) ? Math.min(high, Math.max(low, Math.round(value))) : low;
    if (number !== value) {
      reasons.push(`${name} ${Number.isFinite(value) ? value : "?"} became ${number}: ${why}`);
    }
    return number;
  };
  const { size, window } = LIMITS;
  const height = within("height", wanted.height, 1, size, `a whole number, 1 to ${size}`);
  const width = within("width", wanted.width, 1, size, `a whole number, 1 to ${size}`);
  const windowSize = within("window", wanted.windowSize, 1, window, `a whole number, 1 to ${window}`);
  const shiftSize = within(
    "shift",
    wanted.shiftSize,
    0,
    windowSize - 1,
    `a whole number smaller than the window, 0 to ${windowSize - 1}`,
  );
  return { sizes: { height, width, windowSize, shiftSize }, reasons };
}
