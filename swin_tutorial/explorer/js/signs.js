// Canvases and the signs on them: stars, crosses, dots, frames, hatching, text. Sizes are whole
// device pixels, so that no seam shows between tokens.

import { COLORS } from "./colors.js";

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

/** Draw the lines between tokens, or with a step of more between windows. */
export function lines(pen, rows, columns, cell, step, firstRow, firstColumn = firstRow) {
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

export function star(pen, x, y, radius, line) {
  pen.beginPath();
  for (let point = 0; point < 10; point++) {
    const angle = (point * Math.PI) / 5 - Math.PI / 2;
    const length = point % 2 ? radius * 0.45 : radius;
    pen.lineTo(x + length * Math.cos(angle), y + length * Math.sin(angle));
  }
  pen.closePath();
  pen.fillStyle = "#FFFFFF";
  pen.strokeStyle = COLORS.ink;
  pen.lineWidth = line;
  pen.stroke();
  pen.fill();
}

export function cross(pen, x, y, arm, line) {
  pen.beginPath();
  for (const side of [-1, 1]) {
    pen.moveTo(x - arm, y - side * arm);
    pen.lineTo(x + arm, y + side * arm);
  }
  for (const [color, width] of [[COLORS.ink, 2], ["#FFFFFF", 1]]) {
    pen.strokeStyle = color;
    pen.lineWidth = width * line;
    pen.stroke();
  }
}

/** A ring round a token that is too small for a sign, whole even at the map's border. */
export function ring(pen, x, y, radius) {
  const within = (middle, size) => Math.max(radius, Math.min(size - radius, middle));
  const center = [within(x, pen.canvas.width), within(y, pen.canvas.height)];
  for (const [color, width] of [["#FFFFFF", 0.6], [COLORS.query, 0.32]]) {
    disc(pen, ...center, radius * 0.8, null, color, width * radius);
  }
}

export function outline(pen, x, y, width, height, color, line) {
  for (const [paint, thick] of [["#FFFFFF", 5 / 3], [color, 1]]) {
    pen.strokeStyle = paint;
    pen.lineWidth = thick * line;
    pen.strokeRect(x, y, width, height);
  }
}

export function disc(pen, x, y, radius, fill, stroke, line) {
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

export function arrow(pen, x, y, size) {
  pen.beginPath();
  pen.moveTo(x, y);
  pen.lineTo(x - size, y - size * 0.7);
  pen.lineTo(x - size, y + size * 0.7);
  pen.closePath();
  pen.fillStyle = COLORS.query;
  pen.strokeStyle = "#FFFFFF";
  pen.lineWidth = 2;
  pen.stroke();
  pen.fill();
}

/** The dashed frame of a key. */
export function frame(pen, x, y, width, height) {
  const ratio = window.devicePixelRatio || 1;
  pen.save();
  pen.strokeStyle = "#FFFFFF";
  pen.lineWidth = 3 * ratio;
  pen.strokeRect(x, y, width, height);
  pen.strokeStyle = COLORS.ink;
  pen.lineWidth = 1.6 * ratio;
  pen.setLineDash([4 * ratio, 2 * ratio]);
  pen.strokeRect(x, y, width, height);
  pen.restore();
}

export function hatch(pen, left, top, width, height, step, color) {
  pen.strokeStyle = color;
  pen.lineWidth = Math.max(1, step / 6);
  pen.beginPath();
  for (let offset = -height; offset < width; offset += step) {
    pen.moveTo(left + offset, top + height);
    pen.lineTo(left + offset + height, top);
  }
  pen.stroke();
}

/** Write a text round a place, unless it is wider than the room. */
export function write(pen, text, x, y, size, room = Infinity) {
  pen.font = `600 ${Math.max(6, Math.round(size))}px system-ui, sans-serif`;
  if (pen.measureText(text).width + size / 4 > room) return;
  pen.textAlign = "center";
  pen.textBaseline = "middle";
  pen.lineJoin = "round";
  pen.strokeStyle = COLORS.ink;
  pen.lineWidth = Math.max(2, size / 4);
  pen.strokeText(text, x, y + size * 0.06);
  pen.fillStyle = "#FFFFFF";
  pen.fillText(text, x, y + size * 0.06);
}
