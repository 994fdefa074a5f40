// Drawing on canvases. Sizes are whole device pixels, so that no seam shows between tokens; every
// colour has a sign beside it. The colours are those of swin_tutorial/plotting.py.

import {
  homeOf,
  regionsOfWindow,
  rolledPlace,
  windowMask,
} from "./geometry.js";
import { isPaddingRegion, regionLabel } from "./words.js";

export const COLOURS = {
  regions: [
    "#88CCEE", "#CC6677", "#DDCC77", "#117733", "#332288", "#AA4499",
    "#44AA99", "#999933", "#882255", "#E69F00", "#CCDDAA", "#1A1A1A",
  ],
  padding: "#BBBBBB",
  ink: "#222222",
  allowed: "#E8F1F8",
  forbidden: "#3B3A6B",
  query: "#EE7733",
  leak: "#CC6677",
};
const DOT = "#88CCEE";

/** A region's colour: regions that meet, in the map or in a rolled window, have different ones. */
export function regionColour(geometry, region) {
  if (isPaddingRegion(geometry, region)) return COLOURS.padding;
  const { stripRows, stripColumns } = geometry;
  if (stripRows * stripColumns <= COLOURS.regions.length) return COLOURS.regions[region];
  // The roll joins the first and the last strip, so the last has a class of its own.
  const [row, column] = [Math.floor(region / stripColumns), region % stripColumns];
  const rowClass = row && row === stripRows - 1 ? 2 : row % 2;
  const columnClass = column && column === stripColumns - 1 ? 3 : column % 3;
  return COLOURS.regions[rowClass * 4 + columnClass];
}

/** Give a canvas a size in device pixels, shown at the same size on any screen. */
export function resize(canvas, width, height) {
  const ratio = window.devicePixelRatio || 1;
  canvas.width = width;
  canvas.height = height;
  canvas.style.width = `${width / ratio}px`;
  canvas.style.height = `${height / ratio}px`;
}

/** How many device pixels a token may have so that `rows` x `columns` of them fit in a box. */
export function cellSize(columns, rows, boxWidth, boxHeight, largest) {
  const ratio = window.devicePixelRatio || 1;
  return Math.max(1, Math.floor(Math.min(boxWidth / columns, boxHeight / rows, largest) * ratio));
}

// --- the token layers: the map as it is, plain and coloured by region, to be moved about ---

/** Paint all tokens at home: the picture, the padding, and with `coloured` the regions. */
export function paintTokens(geometry, picture, cell, coloured) {
  const { height, width, paddedHeight, paddedWidth } = geometry;
  const canvas = document.createElement("canvas");
  canvas.width = paddedWidth * cell;
  canvas.height = paddedHeight * cell;
  const pen = canvas.getContext("2d");
  pen.fillStyle = "#D9DEE5";
  pen.fillRect(0, 0, canvas.width, canvas.height);
  if (picture) drawCovering(pen, picture, width * cell, height * cell);
  if (coloured) colourRegions(pen, geometry, cell);
  if (geometry.isPadded) hatchPadding(pen, geometry, cell);
  if (cell >= 5) {
    pen.strokeStyle = "rgba(255, 255, 255, 0.45)";
    pen.lineWidth = 1;
    lines(pen, paddedHeight, paddedWidth, cell, 1, 0);
  }
  if (coloured) numberRegions(pen, geometry, cell);
  return canvas;
}

/** Draw a picture cropped about its centre, so that it covers the box. */
function drawCovering(pen, picture, width, height) {
  const scale = Math.min(picture.naturalWidth / width, picture.naturalHeight / height);
  const [w, h] = [width * scale, height * scale];
  const [x, y] = [(picture.naturalWidth - w) / 2, (picture.naturalHeight - h) / 2];
  pen.drawImage(picture, x, y, w, h, 0, 0, width, height);
}

function colourRegions(pen, geometry, cell) {
  pen.globalAlpha = 0.62;
  forEachHome(geometry, (home, region) => {
    pen.fillStyle = regionColour(geometry, region);
    pen.fillRect(home[1] * cell, home[0] * cell, cell, cell);
  });
  pen.globalAlpha = 1;
}

function hatchPadding(pen, geometry, cell) {
  const { height, width, paddedHeight, paddedWidth } = geometry;
  pen.save();
  pen.beginPath();
  pen.rect(width * cell, 0, (paddedWidth - width) * cell, paddedHeight * cell);
  pen.rect(0, height * cell, width * cell, (paddedHeight - height) * cell);
  pen.clip();
  if (geometry.padding === "mask") {
    pen.fillStyle = COLOURS.padding;
    pen.fillRect(0, 0, paddedWidth * cell, paddedHeight * cell);
  }
  hatch(pen, 0, 0, paddedWidth * cell, paddedHeight * cell, Math.max(4, cell / 2), "#777777");
  pen.restore();
}

/** Write each region's number: on every token where there is room, else once on each piece. */
function numberRegions(pen, geometry, cell) {
  const ratio = window.devicePixelRatio || 1;
  const boxes = new Map();
  forEachHome(geometry, ([y, x], region) => {
    if (isPaddingRegion(geometry, region)) return;
    const box = boxes.get(region) ?? [y, x, y, x];
    boxes.set(region, [box[0], box[1], Math.max(box[2], y), Math.max(box[3], x)]);
  });
  if (cell >= 17 * ratio) {
    forEachHome(geometry, ([y, x], region) => {
      if (isPaddingRegion(geometry, region)) return;
      write(pen, region, (x + 0.5) * cell, (y + 0.5) * cell, Math.min(13 * ratio, cell * 0.46));
    });
    return;
  }
  for (const [region, [top, left, bottom, right]] of boxes) {
    const [across, down] = [(right - left + 1) * cell, (bottom - top + 1) * cell];
    const size = Math.min(13 * ratio, down * 0.6, across / (0.9 * String(region).length));
    if (size < 8 * ratio) continue;
    const middle = [((left + right + 1) / 2) * cell, ((top + bottom + 1) / 2) * cell];
    write(pen, region, ...middle, size, across);
  }
}

function forEachHome(geometry, callback) {
  const { paddedHeight, paddedWidth, regions } = geometry;
  for (let y = 0; y < paddedHeight; y++) {
    for (let x = 0; x < paddedWidth; x++) {
      const home = homeOf(geometry, [y, x]);
      callback(home, regions[y * paddedWidth + x]);
    }
  }
}

// --- maps ---

/**
 * Draw the tokens on their way: `progress` 0 is the map as it is, 1 the rolled map. The four parts
 * that the shift cuts the map into move straight; those that wrap round move above the others.
 */
export function drawMoving(pen, geometry, tokens, cell, progress) {
  const { paddedHeight, paddedWidth, shiftRows, shiftColumns } = geometry;
  pen.clearRect(0, 0, pen.canvas.width, pen.canvas.height);
  for (const [top, bottom] of [[shiftRows, paddedHeight], [0, shiftRows]]) {
    for (const [left, right] of [[shiftColumns, paddedWidth], [0, shiftColumns]]) {
      const [w, h] = [(right - left) * cell, (bottom - top) * cell];
      if (!w || !h) continue;
      const [y, x] = rolledPlace(geometry, [top, left]);
      const moved = [left + (x - left) * progress, top + (y - top) * progress];
      const at = moved.map((place) => Math.round(place * cell));
      pen.drawImage(tokens, left * cell, top * cell, w, h, ...at, w, h);
    }
  }
}

/** Outline the windows: those of the rolled map, or the true ones in the map as it is. */
export function drawWindows(pen, geometry, cell, isRolled, alpha = 1) {
  const { paddedHeight, paddedWidth, windowSize, shiftRows, shiftColumns } = geometry;
  const ratio = window.devicePixelRatio || 1;
  const offsets = isRolled ? [0, 0] : [shiftRows, shiftColumns];
  if (cell * windowSize < 6 * ratio) return; // lines alone would be seen
  // Thinner where the tokens are small; white under black is seen on bright and on dark.
  const weight = Math.min(1, (cell * windowSize) / (36 * ratio));
  pen.save();
  pen.globalAlpha = alpha;
  for (const [colour, width] of [["#FFFFFF", 4.4], [COLOURS.ink, 2.2]]) {
    pen.strokeStyle = colour;
    pen.lineWidth = Math.max(colour === COLOURS.ink ? 1 : 2, width * weight * ratio);
    lines(pen, paddedHeight, paddedWidth, cell, windowSize, ...offsets);
  }
  pen.strokeRect(0, 0, paddedWidth * cell, paddedHeight * cell);
  pen.restore();
}

function lines(pen, rows, columns, cell, step, firstRow, firstColumn = firstRow) {
  pen.beginPath();
  for (let y = firstRow || step; y < rows; y += step) {
    pen.moveTo(0, y * cell);
    pen.lineTo(columns * cell, y * cell);
  }
  for (let x = firstColumn || step; x < columns; x += step) {
    pen.moveTo(x * cell, 0);
    pen.lineTo(x * cell, rows * cell);
  }
  pen.stroke();
}

/** Outline whole windows of the rolled map. */
export function outlineWindows(pen, geometry, cell, windows, colour) {
  const ratio = window.devicePixelRatio || 1;
  const side = geometry.windowSize * cell;
  const inset = 1.5 * ratio;
  for (const number of windows) {
    const x = (number % geometry.windowColumns) * side + inset;
    const y = Math.floor(number / geometry.windowColumns) * side + inset;
    outline(pen, x, y, side - 2 * inset, side - 2 * inset, colour, 3 * ratio);
  }
}

/**
 * Mark a token with the colour and the sign of its kind, or, given its region's `label`, with the
 * sign over the region's colour and with the label's text small in its corner.
 */
export function mark(pen, [y, x], cell, kind, label = null) {
  const [left, top] = [x * cell, y * cell];
  const ratio = window.devicePixelRatio || 1;
  const middle = [left + cell / 2, top + cell / 2];
  const thin = Math.max(1, Math.min(2.2 * ratio, cell / 9));
  const fill = { query: COLOURS.query, allowed: DOT, forbidden: COLOURS.forbidden };
  const strength = { query: 0.85, allowed: 0.66, forbidden: 0.66, leak: 0.6, key: 0 }[kind];
  const veil = { query: 0, allowed: 0, forbidden: 0.25, leak: 0.25, key: 0 }[kind];
  if (label) {
    pen.fillStyle = label.colour;
    pen.fillRect(left, top, cell, cell);
  }
  pen.globalAlpha = label ? veil : strength;
  pen.fillStyle = fill[kind] ?? COLOURS.leak;
  pen.fillRect(left, top, cell, cell);
  pen.globalAlpha = 1;
  if (kind === "query") {
    if (label) outline(pen, left, top, cell, cell, COLOURS.query, Math.min(2 * ratio, cell / 5));
    if (cell < 12 * ratio) ring(pen, ...middle, 8 * ratio);
    star(pen, ...middle, cell * 0.4, thin);
  } else if (kind === "allowed") {
    disc(pen, ...middle, Math.max(1, cell * 0.16), "#FFFFFF", COLOURS.ink, thin / 2);
  } else if (kind === "leak") {
    disc(pen, ...middle, Math.max(1.2, cell * 0.22), null, "#FFFFFF", thin * 1.3);
  } else if (kind === "forbidden") {
    cross(pen, ...middle, cell * 0.2, thin);
  } else {
    frame(pen, left, top, cell, cell);
  }
  if (label && cell >= 24 * ratio) {
    const size = Math.min(10 * ratio, cell * 0.3);
    write(pen, label.text, left + cell * 0.76, top + cell * 0.8, size, cell * 0.5);
  }
}

/** Draw lines from the query to the keys that it attends to, grown by `progress`. */
export function drawRays(pen, from, places, cell, progress) {
  const ratio = window.devicePixelRatio || 1;
  const centre = ([y, x]) => [(x + 0.5) * cell, (y + 0.5) * cell];
  const [x, y] = centre(from);
  for (const [colour, width] of [[COLOURS.ink, 3], [COLOURS.query, 1.6]]) {
    pen.strokeStyle = colour;
    pen.lineWidth = width * ratio;
    pen.beginPath();
    for (const place of places) {
      const [toX, toY] = centre(place);
      pen.moveTo(x, y);
      pen.lineTo(x + (toX - x) * progress, y + (toY - y) * progress);
    }
    pen.stroke();
  }
}

// --- the mask of one window ---

/** Draw a window's mask with the regions of its tokens along both sides, which are `margin` wide. */
export function drawMatrix(pen, geometry, window_, cell, margin, { masked, form }) {
  const tokens = geometry.tokensPerWindow;
  const regions = regionsOfWindow(geometry, window_);
  const mask = windowMask(geometry, window_);
  const ratio = window.devicePixelRatio || 1;
  pen.clearRect(0, 0, pen.canvas.width, pen.canvas.height);
  pen.save();
  pen.translate(margin, margin);
  pen.fillStyle = COLOURS.allowed;
  pen.fillRect(0, 0, tokens * cell, tokens * cell);

  // One path for all masked pairs: a window of 16 has 65,536 pairs.
  pen.fillStyle = masked ? COLOURS.forbidden : COLOURS.leak;
  pen.beginPath();
  for (let query = 0; query < tokens; query++) {
    for (let key = 0; key < tokens; ) {
      const start = key;
      while (key < tokens && !mask[query * tokens + key]) key++;
      if (key > start) pen.rect(start * cell, query * cell, (key - start) * cell, cell);
      else key++;
    }
  }
  pen.fill();
  pen.save();
  pen.clip();
  const side = tokens * cell;
  const isWritten = cell >= 15 * ratio;
  const hatching = masked || isWritten ? "rgba(255, 255, 255, 0.16)" : "rgba(255, 255, 255, 0.75)";
  hatch(pen, 0, 0, side, side, 7 * ratio, hatching);
  pen.restore();

  if (cell >= 4) {
    pen.strokeStyle = cell >= 9 ? "rgba(128, 128, 128, 0.45)" : "rgba(128, 128, 128, 0.22)";
    pen.lineWidth = 1;
    lines(pen, tokens, tokens, cell, 1, 0);
  }
  if (isWritten) writeEntries(pen, mask, tokens, cell, form, masked);
  pen.restore();
  drawSides(pen, geometry, regions, cell, margin);
}

function writeEntries(pen, mask, tokens, cell, form, masked) {
  const [allowed, forbidden] = form === "additive" ? ["0", "−∞"] : ["T", "F"];
  pen.font = `${Math.round(cell * 0.48)}px system-ui, sans-serif`;
  pen.textAlign = "center";
  pen.textBaseline = "middle";
  for (let place = 0; place < mask.length; place++) {
    const isAllowed = mask[place] || !masked;
    pen.fillStyle = mask[place] ? "#4A5D6E" : masked ? "#FFFFFF" : COLOURS.ink;
    const [query, key] = [Math.floor(place / tokens), place % tokens];
    pen.fillText(isAllowed ? allowed : forbidden, (key + 0.5) * cell, (query + 0.53) * cell);
  }
}

/** Colour both sides by region, and write each region's number on its runs. */
function drawSides(pen, geometry, regions, cell, margin) {
  const ratio = window.devicePixelRatio || 1;
  const width = margin - 3 * ratio;
  for (let start = 0; start < regions.length; ) {
    let end = start;
    while (end < regions.length && regions[end] === regions[start]) end++;
    const region = regions[start];
    const [from, length] = [margin + start * cell, (end - start) * cell];
    const text = regionLabel(geometry, region);
    pen.fillStyle = regionColour(geometry, region);
    pen.fillRect(from, 0, length, width);
    pen.fillRect(0, from, width, length);
    pen.strokeStyle = "rgba(255, 255, 255, 0.8)";
    pen.lineWidth = 1;
    pen.strokeRect(from, 0, length, width);
    pen.strokeRect(0, from, width, length);
    const size = Math.min(11 * ratio, width * 0.62);
    write(pen, text, from + length / 2, width / 2, size, length);
    if (length >= size * 1.3) write(pen, text, width / 2, from + length / 2, size, width);
    start = end;
  }
}

/** Light a query's row and, if there is one, a key's column. */
export function drawCross(pen, tokens, cell, margin, query, key) {
  const ratio = window.devicePixelRatio || 1;
  pen.clearRect(0, 0, pen.canvas.width, pen.canvas.height);
  const side = tokens * cell;
  outline(pen, margin, margin + query * cell, side, cell, COLOURS.query, 2 * ratio);
  arrow(pen, margin - 1 * ratio, margin + (query + 0.5) * cell, 5.5 * ratio);
  if (key === null) return;
  frame(pen, margin + key * cell, margin, cell, side);
  frame(pen, margin + key * cell, margin + query * cell, cell, cell);
}

// --- small pictures ---

/** Draw a pattern's mask, without any label. */
export function drawPattern(pen, geometry, window_, size) {
  const tokens = geometry.tokensPerWindow;
  const mask = windowMask(geometry, window_);
  const image = new ImageData(tokens, tokens);
  const [light, dark] = [COLOURS.allowed, COLOURS.forbidden].map(channels);
  mask.forEach((allowed, place) => image.data.set([...(allowed ? light : dark), 255], 4 * place));
  const small = document.createElement("canvas");
  small.width = small.height = tokens;
  small.getContext("2d").putImageData(image, 0, 0);
  pen.imageSmoothingEnabled = false;
  pen.drawImage(small, 0, 0, size, size);
}

/** Draw the grid of windows, with those of one pattern filled. */
export function drawWhere(pen, geometry, windows, width, height) {
  const { windowRows, windowColumns } = geometry;
  const cell = Math.min(width / windowColumns, height / windowRows);
  const gap = cell >= 4 ? 1 : 0;
  const chosen = new Set(windows);
  for (let number = 0; number < geometry.numWindows; number++) {
    pen.fillStyle = chosen.has(number) ? COLOURS.forbidden : "#C9D3DC";
    const [row, column] = [Math.floor(number / windowColumns), number % windowColumns];
    pen.fillRect(column * cell, row * cell, cell - gap, cell - gap);
  }
}

/** Draw one head's attention weights over the window's tokens; `largest` is the darkest. */
export function drawWeights(pen, weights, query, allowed, windowSize, cell, largest) {
  const ratio = window.devicePixelRatio || 1;
  weights.forEach((weight, token) => {
    const [y, x] = [Math.floor(token / windowSize), token % windowSize];
    const strength = largest > 0 ? weight / largest : 0;
    const shade = channels("#FFFFFF").map((white, i) => {
      const dark = channels("#08519C")[i];
      return Math.round(white + (dark - white) * strength);
    });
    pen.fillStyle = `rgb(${shade.join()})`;
    pen.fillRect(x * cell, y * cell, cell, cell);
    pen.strokeStyle = "rgba(128, 128, 128, 0.35)";
    pen.lineWidth = 1;
    pen.strokeRect(x * cell + 0.5, y * cell + 0.5, cell - 1, cell - 1);
    const middle = [(x + 0.5) * cell, (y + 0.5) * cell];
    if (weight === 0) mark(pen, [y, x], cell, "forbidden");
    else if (!allowed[token]) disc(pen, ...middle, cell * 0.3, null, COLOURS.leak, 2 * ratio);
    if (token === query) star(pen, ...middle, cell * 0.36, ratio);
  });
}

// --- signs ---

function star(pen, x, y, radius, line) {
  pen.beginPath();
  for (let point = 0; point < 10; point++) {
    const angle = (point * Math.PI) / 5 - Math.PI / 2;
    const length = point % 2 ? radius * 0.45 : radius;
    pen.lineTo(x + length * Math.cos(angle), y + length * Math.sin(angle));
  }
  pen.closePath();
  pen.fillStyle = "#FFFFFF";
  pen.strokeStyle = COLOURS.ink;
  pen.lineWidth = line;
  pen.stroke();
  pen.fill();
}

function cross(pen, x, y, arm, line) {
  pen.beginPath();
  for (const side of [-1, 1]) {
    pen.moveTo(x - arm, y - side * arm);
    pen.lineTo(x + arm, y + side * arm);
  }
  for (const [colour, width] of [[COLOURS.ink, 2], ["#FFFFFF", 1]]) {
    pen.strokeStyle = colour;
    pen.lineWidth = width * line;
    pen.stroke();
  }
}

/** A ring round a token that is too small for a sign, whole even at the map's border. */
function ring(pen, x, y, radius) {
  const within = (middle, size) => Math.max(radius, Math.min(size - radius, middle));
  const centre = [within(x, pen.canvas.width), within(y, pen.canvas.height)];
  for (const [colour, width] of [["#FFFFFF", 0.6], [COLOURS.query, 0.32]]) {
    disc(pen, ...centre, radius * 0.8, null, colour, width * radius);
  }
}

function outline(pen, x, y, width, height, colour, line) {
  for (const [paint, thick] of [["#FFFFFF", 5 / 3], [colour, 1]]) {
    pen.strokeStyle = paint;
    pen.lineWidth = thick * line;
    pen.strokeRect(x, y, width, height);
  }
}

function disc(pen, x, y, radius, fill, stroke, line) {
  pen.beginPath();
  pen.arc(x, y, radius, 0, 2 * Math.PI);
  pen.strokeStyle = stroke;
  pen.lineWidth = line;
  pen.stroke();
  if (fill) {
    pen.fillStyle = fill;
    pen.fill();
  }
}

function arrow(pen, x, y, size) {
  pen.beginPath();
  pen.moveTo(x, y);
  pen.lineTo(x - size, y - size * 0.7);
  pen.lineTo(x - size, y + size * 0.7);
  pen.closePath();
  pen.fillStyle = COLOURS.query;
  pen.strokeStyle = "#FFFFFF";
  pen.lineWidth = 2;
  pen.stroke();
  pen.fill();
}

/** The dashed frame of a key. */
function frame(pen, x, y, width, height) {
  const ratio = window.devicePixelRatio || 1;
  pen.save();
  pen.strokeStyle = "#FFFFFF";
  pen.lineWidth = 3 * ratio;
  pen.strokeRect(x, y, width, height);
  pen.strokeStyle = COLOURS.ink;
  pen.lineWidth = 1.6 * ratio;
  pen.setLineDash([4 * ratio, 2 * ratio]);
  pen.strokeRect(x, y, width, height);
  pen.restore();
}

function hatch(pen, left, top, width, height, step, colour) {
  pen.strokeStyle = colour;
  pen.lineWidth = Math.max(1, step / 6);
  pen.beginPath();
  for (let offset = -height; offset < width; offset += step) {
    pen.moveTo(left + offset, top + height);
    pen.lineTo(left + offset + height, top);
  }
  pen.stroke();
}

/** Write a text round a place, unless it is wider than the room. */
function write(pen, text, x, y, size, room = Infinity) {
  pen.font = `600 ${Math.max(6, Math.round(size))}px system-ui, sans-serif`;
  if (pen.measureText(text).width + size / 4 > room) return;
  pen.textAlign = "center";
  pen.textBaseline = "middle";
  pen.lineJoin = "round";
  pen.strokeStyle = COLOURS.ink;
  pen.lineWidth = Math.max(2, size / 4);
  pen.strokeText(text, x, y + size * 0.06);
  pen.fillStyle = "#FFFFFF";
  pen.fillText(text, x, y + size * 0.06);
}

function channels(colour) {
  return [1, 3, 5].map((start) => parseInt(colour.slice(start, start + 2), 16));
}
