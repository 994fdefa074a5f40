// Small pictures: a pattern's mask, where its windows are, one head's attention weights.

import { COLORS, channels } from "./colors.js";
import { windowMask } from "./geometry.js";
import { mark } from "./maps.js";
import { disc, star } from "./signs.js";

/** Draw a pattern's mask, without any label. */
export function drawPattern(pen, geometry, window_, size) {
  const tokens = geometry.tokensPerWindow;
  const mask = windowMask(geometry, window_);
  const image = new ImageData(tokens, tokens);
  const [light, dark] = [COLORS.allowed, COLORS.forbidden].map(channels);
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
    pen.fillStyle = chosen.has(number) ? COLORS.forbidden : "#C9D3DC";
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
    else if (!allowed[token]) disc(pen, ...middle, cell * 0.3, null, COLORS.leak, 2 * ratio);
    if (token === query) star(pen, ...middle, cell * 0.36, ratio);
  });
}
