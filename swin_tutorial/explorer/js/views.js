// A view: a figure with a title and two canvases, the upper one for what is lit.

import { make } from "./dom.js";
import { beforeRoll, origin } from "./geometry.js";

/**
 * `name` is "home", "rolled" or "matrix"; `helpId` names the element that explains the keys; `on`
 * holds the listeners `point`, `leave`, `pin` and `press`, which are called with the view and the
 * event.
 */
export class View {
  constructor(name, title, helpId, on) {
    this.name = name;
    this.base = make("canvas");
    this.overlay = make("canvas", {
      tabindex: 0,
      role: "application",
      "data-view": name,
      "aria-roledescription": name === "matrix" ? "grid of pairs" : "grid of tokens",
      "aria-describedby": helpId,
      onpointermove: (event) => on.point(this, event),
      onpointerleave: () => on.leave(),
      onclick: (event) => on.pin(this, event),
      onkeydown: (event) => on.press(this, event),
    });
    this.caption = make("figcaption", { class: "me-title" }, title);
    this.note = make("p", { class: "me-note" });
    this.figure = make(
      "figure",
      { class: `me-view me-${name}` },
      this.caption,
      make("div", { class: "me-stack" }, this.base, this.overlay),
      this.note,
    );
    this.pen = this.base.getContext("2d");
    this.light = this.overlay.getContext("2d");
    this.cell = 1; // device pixels of a token or of a pair
    this.margin = 0; // device pixels above and left of the first one
    this.paintedWindow = null; // whose mask a matrix shows
  }

  get canvases() {
    return [this.base, this.overlay];
  }

  /** The row and column of the cell under the pointer, which may lie outside of the grid. */
  cellUnder(event) {
    const box = this.overlay.getBoundingClientRect();
    const ratio = this.overlay.width / box.width; // canvas pixels in one on the page
    const cellAt = (pixels) => Math.floor((pixels * ratio - this.margin) / this.cell);
    return [cellAt(event.clientY - box.top), cellAt(event.clientX - box.left)];
  }
}

/** The query under the pointer on a map, or null beside it; `isRolled` says which map it shows. */
export function queryOnMap(geometry, [y, x], isRolled) {
  if (x < 0 || y < 0 || x >= geometry.paddedWidth || y >= geometry.paddedHeight) return null;
  return { query: isRolled ? beforeRoll(geometry, [y, x]) : [y, x], key: null };
}

/** The query and the key of a pair of a window's matrix, or null beside it. */
export function pairInMatrix(geometry, window, [row, column]) {
  const tokens = geometry.tokensPerWindow;
  if (Math.min(row, column) < 0 || Math.max(row, column) >= tokens) return null;
  return { query: origin(geometry, window, row), key: origin(geometry, window, column) };
}
