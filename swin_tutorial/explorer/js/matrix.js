// The mask of one window as a matrix: queries down, keys across, regions along both sides.

import { COLORS, regionColor } from "./colors.js";
import { regionsOfWindow, windowMask } from "./geometry.js";
import { arrow, frame, hatch, lines, outline, write } from "./signs.js";

/** Draw a window's mask with the regions of its tokens along both sides, which are `margin` wide. */
export function drawMatrix(pen, geometry, window_, cell, margin, { masked, form }) {
  const tokens = geometry.tokensPerWindow;
  const regions = regionsOfWindow(geometry, window_);
  const mask = windowMask(geometry, window_);
  const ratio = window.devicePixelRatio || 1;
  pen.clearRect(0, 0, pen.canvas.width, pen.canvas.height);
  pen.save();
  pen.translate(margin, margin);
  pen.fillStyle = COLORS.allowed;
  pen.fillRect(0, 0, tokens * cell, tokens * cell);

  // One path for all masked pairs: a window of 16 has 65,536 pairs.
  pen.fillStyle = masked ? COLORS.forbidden : COLORS.leak;
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
    pen.fillStyle = mask[place] ? "#4A5D6E" : masked ? "#FFFFFF" : COLORS.ink;
    const [query, key] = [Math.floor(place / tokens), place % tokens];
    pen.fillText(isAllowed ? allowed : forbidden, (key + 0.5) * cell, (query + 0.53) * cell);
  }
}

/** Color both sides by region, and write each region's number on its runs. */
function drawSides(pen, geometry, regions, cell, margin) {
  const ratio = window.devicePixelRatio || 1;
  const width = margin - 3 * ratio;
  for (let start = 0; start < regions.length; ) {
    let end = start;
    while (end < regions.length && regions[end] === regions[start]) end++;
    const region = regions[start];
    const [from, length] = [margin + start * cell, (end - start) * cell];
    const text = String(region);
    pen.fillStyle = regionColor(geometry, region);
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
  outline(pen, margin, margin + query * cell, side, cell, COLORS.query, 2 * ratio);
  arrow(pen, margin - 1 * ratio, margin + (query + 0.5) * cell, 5.5 * ratio);
  if (key === null) return;
  frame(pen, margin + key * cell, margin, cell, side);
  frame(pen, margin + key * cell, margin + query * cell, cell, cell);
}
