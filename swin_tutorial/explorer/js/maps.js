// The two maps: tokens at home and on their way, windows, and what is lit.

import { COLORS, regionColor } from "./colors.js";
import { afterRoll, beforeRoll, isPaddingRegion } from "./geometry.js";
import { cross, disc, frame, hatch, lines, outline, ring, star, write } from "./signs.js";

const DOT = "#88CCEE";

// --- the token layers: the map before the roll, plain and colored by region, to be moved about ---

/** Paint all tokens at home: the picture, the padding, and with `colored` the regions. */
export function paintTokens(geometry, picture, cell, colored) {
  const { height, width, paddedHeight, paddedWidth } = geometry;
  const canvas = document.createElement("canvas");
  canvas.width = paddedWidth * cell;
  canvas.height = paddedHeight * cell;
  const pen = canvas.getContext("2d");
  pen.fillStyle = "#D9DEE5";
  pen.fillRect(0, 0, canvas.width, canvas.height);
  if (picture) drawCovering(pen, picture, width * cell, height * cell);
  if (colored) colorRegions(pen, geometry, cell);
  if (geometry.isPadded) hatchPadding(pen, geometry, cell);
  if (cell >= 5) {
    pen.strokeStyle = "rgba(255, 255, 255, 0.45)";
    pen.lineWidth = 1;
    lines(pen, paddedHeight, paddedWidth, cell, 1, 0);
  }
  if (colored) numberRegions(pen, geometry, cell);
  return canvas;
}

/** Draw a picture cropped about its center, so that it covers the box. */
function drawCovering(pen, picture, width, height) {
  const scale = Math.min(picture.naturalWidth / width, picture.naturalHeight / height);
  const [w, h] = [width * scale, height * scale];
  const [x, y] = [(picture.naturalWidth - w) / 2, (picture.naturalHeight - h) / 2];
  pen.drawImage(picture, x, y, w, h, 0, 0, width, height);
}

function colorRegions(pen, geometry, cell) {
  pen.globalAlpha = 0.62;
  forEachHome(geometry, (home, region) => {
    pen.fillStyle = regionColor(geometry, region);
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
    pen.fillStyle = COLORS.padding;
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
      const home = beforeRoll(geometry, [y, x]);
      callback(home, regions[y * paddedWidth + x]);
    }
  }
}

// --- motion and windows ---

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
      const [y, x] = afterRoll(geometry, [top, left]);
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
  for (const [color, width] of [["#FFFFFF", 4.4], [COLORS.ink, 2.2]]) {
    pen.strokeStyle = color;
    pen.lineWidth = Math.max(color === COLORS.ink ? 1 : 2, width * weight * ratio);
    lines(pen, paddedHeight, paddedWidth, cell, windowSize, ...offsets);
  }
  pen.strokeRect(0, 0, paddedWidth * cell, paddedHeight * cell);
  pen.restore();
}

/** Outline whole windows of the rolled map. */
export function outlineWindows(pen, geometry, cell, windows, color) {
  const ratio = window.devicePixelRatio || 1;
  const side = geometry.windowSize * cell;
  const inset = 1.5 * ratio;
  for (const number of windows) {
    const x = (number % geometry.windowColumns) * side + inset;
    const y = Math.floor(number / geometry.windowColumns) * side + inset;
    outline(pen, x, y, side - 2 * inset, side - 2 * inset, color, 3 * ratio);
  }
}

// --- what is lit ---

/**
 * Mark a token with the color and the sign of its kind, or, given its region's `label`, with the
 * sign over the region's color and with the label's text small in its corner.
 */
export function mark(pen, [y, x], cell, kind, label = null) {
  const [left, top] = [x * cell, y * cell];
  const ratio = window.devicePixelRatio || 1;
  const middle = [left + cell / 2, top + cell / 2];
  const thin = Math.max(1, Math.min(2.2 * ratio, cell / 9));
  const fill = { query: COLORS.query, allowed: DOT, forbidden: COLORS.forbidden };
  const strength = { query: 0.85, allowed: 0.66, forbidden: 0.66, leak: 0.6, key: 0 }[kind];
  const veil = { query: 0, allowed: 0, forbidden: 0.25, leak: 0.25, key: 0 }[kind];
  if (label) {
    pen.fillStyle = label.color;
    pen.fillRect(left, top, cell, cell);
  }
  pen.globalAlpha = label ? veil : strength;
  pen.fillStyle = fill[kind] ?? COLORS.leak;
  pen.fillRect(left, top, cell, cell);
  pen.globalAlpha = 1;
  if (kind === "query") {
    if (label) outline(pen, left, top, cell, cell, COLORS.query, Math.min(2 * ratio, cell / 5));
    if (cell < 12 * ratio) ring(pen, ...middle, 8 * ratio);
    star(pen, ...middle, cell * 0.4, thin);
  } else if (kind === "allowed") {
    disc(pen, ...middle, Math.max(1, cell * 0.16), "#FFFFFF", COLORS.ink, thin / 2);
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
  const center = ([y, x]) => [(x + 0.5) * cell, (y + 0.5) * cell];
  const [x, y] = center(from);
  for (const [color, width] of [[COLORS.ink, 3], [COLORS.query, 1.6]]) {
    pen.strokeStyle = color;
    pen.lineWidth = width * ratio;
    pen.beginPath();
    for (const place of places) {
      const [toX, toY] = center(place);
      pen.moveTo(x, y);
      pen.lineTo(x + (toX - x) * progress, y + (toY - y) * progress);
    }
    pen.stroke();
  }
}
