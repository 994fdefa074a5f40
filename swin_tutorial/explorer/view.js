// The explorer on the page: controls, linked views, keyboard. Its state has the names of the
// widget's traits. What is lit also stands in data- attributes and in a sentence, for tests and for
// screen readers, who cannot see a canvas.

import {
  LIMITS,
  clampSizes,
  distinctPatterns,
  homeInWindow,
  homeOf,
  keysOf,
  makeGeometry,
  regionOf,
  rolledPlace,
  windowOf,
} from "./geometry.js";
import {
  STAGES,
  describePair,
  describePatterns,
  describeQuery,
  describeSizes,
  homeNote,
  matrixNote,
  patternName,
  place,
  regionLabel,
  stageNote,
  stageTitle,
} from "./words.js";
import {
  COLOURS,
  cellSize,
  drawCross,
  drawMatrix,
  drawMoving,
  drawPattern,
  drawRays,
  drawWeights,
  drawWhere,
  drawWindows,
  mark,
  outlineWindows,
  paintTokens,
  regionColour,
  resize,
} from "./drawing.js";

const SIZES = ["height", "width", "window_size", "shift_size"];
const SIZE_LABELS = { height: "Height", width: "Width", window_size: "Window size", shift_size: "Shift" };
const RESTING = 2;
const LARGEST_CELL = 52; // pixels per token
const TALLEST = 430; // pixels
const SECONDS = { move: 1.1, rays: 0.7, hold: 1.3, still: 1.9 };
const HELP =
  "A token is named (row, column), from 0, before the roll. Point at one to light what it attends " +
  "to; click to keep it, for example before you go to its window’s matrix. With the keyboard: Tab " +
  "to a view, arrows move the query (in the matrix, left and right choose a key), [ and ] change " +
  "the window, Escape lets the key go and stops Play.";
let explorers = 0; // on the page, for ids

/** Make an element: `make("p", {class: "x", onclick}, "text", child)`. */
function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

/**
 * Build the explorer inside an element. `state` has height, width, window_size, shift_size, padding,
 * masked, form, query, key; `locked` fixes the sizes and the padding; `image` is an address of a
 * picture or ""; `attention` is a model's weights or null; `heading` is the title's element.
 * `report` is called with what a reader has changed.
 */
export class Explorer {
  constructor(element, state, options) {
    const { image = "", attention = null, locked = false, heading = "h3", report = () => {} } = options;
    Object.assign(this, { attention, locked, heading, report, picture: null });
    this.id = `mask-explorer-${explorers++}`;
    this.hovered = null; // {query, key} while the pointer is over a view
    this.outlined = null; // the pattern that is pointed at
    this.stage = RESTING;
    this.roll = 1;
    this.rays = 1;
    this.timer = null;
    this.root = make("section", {
      class: "mask-explorer",
      "aria-label": "Mask explorer",
      "data-lm-suppress-shortcuts": "true", // JupyterLab's: keys pressed in here are ours
      onkeydown: (event) => event.key === "Escape" && this.timer !== null && this.rest(),
    });
    this.build();
    element.append(this.root);
    this.set(state);
    this.showPicture(image);
    this.width = 0;
    this.observer = new ResizeObserver(() => {
      if (this.root.clientWidth !== this.width) this.layOut();
    });
    this.observer.observe(this.root);
  }

  /** Take the explorer off the page. */
  remove() {
    this.stop();
    this.observer.disconnect();
    this.root.remove();
  }

  /** Show another state, from outside; what cannot be is shown as the nearest that can. */
  set(changes) {
    this.adopt({ ...this.state, ...changes });
  }

  /** Change the state on the page: clamp it, say so, and report it. */
  change(changes) {
    const before = this.state;
    const reasons = this.adopt({ ...before, ...changes });
    this.say(reasons.join("; "));
    const changed = Object.entries(this.traits()).filter(
      ([name, value]) => String(value) !== String({ ...before, selected_window: before.window }[name]),
    );
    if (changed.length) this.report(Object.fromEntries(changed));
  }

  /** The state in the names and types of the traits. */
  traits() {
    const { window, ...traits } = this.state;
    return { ...traits, selected_window: window };
  }

  /** Show a word on something that was put right. */
  say(notice) {
    this.notice.textContent = notice;
  }

  adopt(wanted) {
    const { sizes, reasons } = clampSizes({
      height: wanted.height,
      width: wanted.width,
      windowSize: wanted.window_size,
      shiftSize: wanted.shift_size,
    });
    const { height, width, windowSize, shiftSize } = sizes;
    const before = this.geometry;
    const geometry = makeGeometry({ ...sizes, padding: wanted.padding });
    const query = [
      Math.min(wanted.query[0], geometry.paddedHeight - 1),
      Math.min(wanted.query[1], geometry.paddedWidth - 1),
    ];
    const { window } = windowOf(geometry, query);
    const key = wanted.key && isInWindow(geometry, wanted.key, window) ? [...wanted.key] : null;
    this.state = {
      height,
      width,
      window_size: windowSize,
      shift_size: shiftSize,
      padding: wanted.padding,
      masked: wanted.masked,
      form: wanted.form,
      query,
      key,
      window,
    };
    const isNew = !before || SIZES.concat("padding").some((name) => before.of[name] !== this.state[name]);
    if (isNew) {
      this.geometry = { ...geometry, of: { ...this.state } };
      this.patterns = distinctPatterns(geometry);
      this.hovered = null;
      this.outlined = null;
    }
    this.showControls();
    if (isNew) this.layOut();
    else this.paint();
    return reasons;
  }

  showPicture(address) {
    if (!address) {
      this.picture = null;
      this.layOut();
      return;
    }
    const picture = new Image();
    picture.onload = () => {
      this.picture = picture;
      this.layOut();
    };
    picture.src = address;
  }

  // --- building ---

  build() {
    this.summary = make("p", { class: "me-summary" });
    this.notice = make("p", { class: "me-notice", role: "status" });
    this.sentence = make("p", { class: "me-sentence" });
    // What is pinned is announced; what the pointer passes over is not.
    this.announced = make("p", { class: "me-announced", "aria-live": "polite" });
    this.buildControls();
    this.buildStages();
    this.home = this.buildMap("home", "The map as it is");
    this.rolled = this.buildMap("rolled", "");
    this.matrix = this.buildView("matrix", "");
    this.matrixLegend = make("p", { class: "me-note" });
    this.matrix.figure.append(this.matrixLegend);
    this.patternWords = make("figcaption", { class: "me-title", id: `${this.id}-patterns` });
    this.patternList = make("div", {
      class: "me-patterns",
      role: "group",
      "aria-labelledby": this.patternWords.id,
    });
    this.heads = make("div", { class: "me-heads" });
    this.headWords = make("figcaption", { class: "me-title" }, "Attention weights, by head");
    this.headFigure = make(
      "figure",
      { class: "me-view me-attention", hidden: !this.attention },
      this.headWords,
      this.heads,
    );
    this.root.append(
      make("header", { class: "me-head" }, make(this.heading, { class: "me-name" }, "Mask explorer"), this.summary),
      this.controls,
      this.notice,
      this.sentence,
      this.announced,
      make("div", { class: "me-story" }, this.buildLegend(), this.stages),
      make(
        "div",
        { class: "me-views" },
        this.home.figure,
        this.rolled.figure,
        this.matrix.figure,
        make(
          "figure",
          { class: "me-view me-pattern-view" },
          this.patternWords,
          this.patternList,
        ),
        this.headFigure,
      ),
      make("p", { class: "me-note me-help", id: `${this.id}-help` }, HELP),
    );
  }

  buildControls() {
    this.inputs = {};
    const sliders = SIZES.map((name) => {
      const label = SIZE_LABELS[name];
      const range = make("input", {
        type: "range",
        "aria-label": `${label} slider`,
        "data-trait": name,
        oninput: () => this.change({ [name]: Number(range.value) }),
      });
      const take = () => {
        if (number.value === "") this.say(""); // nothing is asked for
        // Leaving the field repeats what Enter has said.
        else if (Number(number.value) !== this.state[name]) this.change({ [name]: Number(number.value) });
        number.value = this.state[name];
      };
      const number = make("input", {
        type: "number",
        "aria-label": label,
        "data-trait": name,
        onchange: take,
        onkeydown: (event) => event.key === "Enter" && take(),
      });
      const limits = make("span", { class: "me-limits" });
      this.inputs[name] = { range, number, limits };
      return make("div", { class: "me-slider" }, make("span", {}, label), limits, number, range);
    });
    this.choices = {};
    this.controls = make(
      "div",
      { class: "me-controls", role: "group", "aria-label": "Geometry and mask" },
      ...sliders,
      this.buildChoice("masked", "Mask", [[true, "on"], [false, "off"]]),
      this.buildChoice("padding", "Padding", [["mask", "masked"], ["attend", "attended to"]]),
      this.buildChoice("form", "Entries", [["boolean", "boolean"], ["additive", "additive"]]),
    );
  }

  buildChoice(name, label, options) {
    this.choices[name] = options.map(([value, text]) => {
      const button = make(
        "button",
        {
          type: "button",
          "data-trait": name,
          "data-value": String(value),
          onclick: () => this.change({ [name]: value }),
        },
        text,
      );
      return { value, button };
    });
    const buttons = this.choices[name].map((choice) => choice.button);
    const group = make("div", { class: "me-buttons", role: "group", "aria-label": label }, ...buttons);
    return make("div", { class: "me-choice" }, make("span", {}, label), group);
  }

  buildStages() {
    this.playButton = make("button", {
      type: "button",
      class: "me-play",
      onclick: () => (this.timer === null ? this.play() : this.rest()),
    });
    this.stageButtons = STAGES.map((name, number) =>
      make(
        "button",
        { type: "button", "data-stage": number, onclick: () => this.showStage(number) },
        name,
      ),
    );
    this.stages = make(
      "div",
      { class: "me-stages", role: "group", "aria-label": "The steps of shifted-window attention" },
      this.playButton,
      ...this.stageButtons,
    );
  }

  buildLegend() {
    this.legend = {};
    const entry = (kind, sign, text) => {
      this.legend[kind] = make("span", { class: `me-key me-key-${kind}` }, make("i", {}, sign), text);
      return this.legend[kind];
    };
    return make(
      "p",
      { class: "me-legend", "aria-hidden": "true" },
      entry("query", "★", "query, a key of its own as well"),
      entry("allowed", "●", "key it may attend to"),
      entry("forbidden", "×", "masked key"),
      entry("leak", "○", "key that leaks in"),
    );
  }

  /** A figure with a title and a canvas under another one, which carries what is lit. */
  buildView(name, title) {
    const base = make("canvas");
    const overlay = make("canvas", {
      tabindex: 0,
      role: "application",
      "data-view": name,
      "aria-roledescription": name === "matrix" ? "grid of pairs" : "grid of tokens",
      "aria-describedby": `${this.id}-help`,
    });
    const stack = make("div", { class: "me-stack" }, base, overlay);
    const caption = make("figcaption", { class: "me-title" }, title);
    const figure = make("figure", { class: `me-view me-${name}` }, caption, stack);
    const view = {
      name,
      figure,
      caption,
      stack,
      base,
      overlay,
      pen: base.getContext("2d"),
      light: overlay.getContext("2d"),
    };
    overlay.addEventListener("pointermove", (event) => this.pointAt(view, event));
    overlay.addEventListener("pointerleave", () => this.pointAway());
    overlay.addEventListener("click", (event) => this.pin(view, event));
    overlay.addEventListener("keydown", (event) => this.press(view, event));
    return view;
  }

  buildMap(name, title) {
    const view = this.buildView(name, title);
    view.note = make("p", { class: "me-note" });
    view.figure.append(view.note);
    return view;
  }

  // --- showing ---

  showControls() {
    const { size, window } = LIMITS;
    const limits = {
      height: [1, size],
      width: [1, size],
      window_size: [1, window],
      shift_size: [0, this.state.window_size - 1],
    };
    for (const name of SIZES) {
      const { range, number, limits: words } = this.inputs[name];
      for (const input of [range, number]) {
        [input.min, input.max] = limits[name];
        input.value = this.state[name];
        input.disabled = this.locked;
      }
      words.textContent = `${limits[name][0]}–${limits[name][1]}`;
    }
    for (const [name, choices] of Object.entries(this.choices)) {
      for (const { value, button } of choices) {
        button.setAttribute("aria-pressed", String(value === this.state[name]));
        button.disabled = this.locked && name === "padding";
      }
    }
    // Where nothing is padded this choice changes nothing.
    const isIdle = !this.geometry.isPadded;
    for (const { button } of this.choices.padding) {
      button.classList.toggle("me-idle", isIdle);
      button.title = isIdle ? "The map divides into windows: there is no padding" : "";
    }
  }

  /** Size every canvas to the page, and paint all. */
  layOut() {
    if (!this.state) return;
    this.width = this.root.clientWidth;
    const { paddedHeight, paddedWidth, tokensPerWindow } = this.geometry;
    for (const view of [this.home, this.rolled]) {
      const box = view.figure.clientWidth || 300;
      view.cell = cellSize(paddedWidth, paddedHeight, box, TALLEST, LARGEST_CELL);
      for (const canvas of [view.base, view.overlay]) {
        resize(canvas, paddedWidth * view.cell, paddedHeight * view.cell);
      }
    }
    const ratio = window.devicePixelRatio || 1;
    const margin = Math.round(26 * ratio);
    const room = Math.min(this.matrix.figure.clientWidth || 300, TALLEST) - 28;
    this.matrix.margin = margin;
    this.matrix.cell = cellSize(tokensPerWindow, tokensPerWindow, room, room, 30);
    const side = margin + tokensPerWindow * this.matrix.cell + Math.round(2 * ratio);
    for (const canvas of [this.matrix.base, this.matrix.overlay]) resize(canvas, side, side);

    this.plain = paintTokens(this.geometry, this.picture, this.home.cell, false);
    this.coloured = paintTokens(this.geometry, this.picture, this.rolled.cell, true);
    this.showPatterns();
    this.paint();
  }

  showPatterns() {
    const { patterns } = this.patterns;
    const ratio = window.devicePixelRatio || 1;
    this.patternList.replaceChildren(
      ...patterns.map((pattern) => {
        const name = patternName(pattern.number);
        const mask = make("canvas");
        resize(mask, Math.round(50 * ratio), Math.round(50 * ratio));
        drawPattern(mask.getContext("2d"), this.geometry, pattern.windows[0], mask.width);
        const where = make("canvas");
        const { windowRows, windowColumns } = this.geometry;
        const cell = Math.min(50 / Math.max(windowRows, windowColumns), 13) * ratio;
        resize(where, Math.round(windowColumns * cell), Math.round(windowRows * cell));
        drawWhere(where.getContext("2d"), this.geometry, pattern.windows, where.width, where.height);
        const pairs = this.geometry.tokensPerWindow ** 2;
        const share = pattern.masked ? `${percent(pattern.masked / pairs)} of pairs masked` : "nothing masked";
        const { numWindows } = this.geometry;
        const count = numWindows === 1 ? "the only window" : `${pattern.windows.length} of ${numWindows} windows`;
        return make(
          "button",
          {
            type: "button",
            class: "me-pattern",
            "data-pattern": name,
            "data-windows": pattern.windows.join(" "),
            onclick: () => this.choosePattern(pattern),
            onpointerenter: () => this.outline(pattern),
            onpointerleave: () => this.outline(null),
            onfocus: () => this.outline(pattern),
            onblur: () => this.outline(null),
          },
          make("span", { class: "me-pattern-pictures" }, mask, where),
          make("span", {}, make("b", {}, name), ` ${count}`),
          make("span", { class: "me-share" }, share),
        );
      }),
    );
  }

  /** Paint what a change of state touches, without a new layout. */
  paint() {
    if (!this.plain) return;
    this.summary.textContent =
      describeSizes(this.geometry) + (this.locked ? " · sizes fixed by the model" : "");
    this.patternWords.textContent = describePatterns(
      this.geometry,
      this.patterns.patterns,
      this.state.masked,
    );
    this.home.pen.drawImage(this.plain, 0, 0);
    drawWindows(this.home.pen, this.geometry, this.home.cell, false);
    this.home.note.textContent = homeNote(this.geometry);
    this.home.overlay.setAttribute("aria-label", "The map as it is, with the true windows");
    this.paintStage();
    this.painted = null;
    this.light();
  }

  paintStage() {
    const { pen, cell } = this.rolled;
    drawMoving(pen, this.geometry, this.coloured, cell, this.roll);
    if (this.roll < 1) drawWindows(pen, this.geometry, cell, false, 1 - this.roll);
    if (this.roll > 0) drawWindows(pen, this.geometry, cell, true, this.roll);
    const isMoving = this.roll !== (isRolled(this.stage) ? 1 : 0);
    const title = stageTitle(this.geometry, this.stage, isMoving);
    if (this.rolled.caption.textContent !== title) this.rolled.caption.textContent = title;
    this.rolled.overlay.setAttribute("aria-label", `${title}; numbers name the regions`);
    this.root.dataset.stage = STAGES[this.stage];
    this.stageButtons.forEach((button, number) => {
      button.setAttribute("aria-current", number === this.stage ? "step" : "false");
    });
    this.playButton.textContent = this.timer === null ? "▶ Play" : "■ Stop";
  }

  /** Light the query that is pointed at, or else the pinned one, in all views. */
  light() {
    const { masked, form } = this.state;
    const { query, key } = this.hovered ?? this.state;
    const keys = keysOf(this.geometry, query);
    const denied = masked ? "forbidden" : "leak";

    this.lightMap(this.home, keys, query, key, denied, (home) => home);
    // On their way, too, the marks go with their tokens.
    this.lightMap(this.rolled, keys, query, key, denied, (home) =>
      rolledPlace(this.geometry, home).map((end, axis) => home[axis] + (end - home[axis]) * this.roll),
    );
    this.rolled.note.textContent = stageNote(this.geometry, this.stage, query, masked);
    if (this.painted !== keys.window) {
      const { pen, cell, margin } = this.matrix;
      drawMatrix(pen, this.geometry, keys.window, cell, margin, { masked, form });
      this.painted = keys.window;
    }
    const { cell, margin, light } = this.matrix;
    const keyToken = key ? windowOf(this.geometry, key).token : null;
    drawCross(light, this.geometry.tokensPerWindow, cell, margin, keys.token, keyToken);
    if (this.attention) this.lightHeads(keys, query);

    const pattern = patternName(this.patterns.index[keys.window]);
    this.matrix.caption.textContent = `Mask of window ${keys.window} (pattern ${pattern})`;
    this.matrix.overlay.setAttribute(
      "aria-label",
      `Mask of window ${keys.window}: queries down, keys across`,
    );
    this.matrixLegend.textContent = matrixNote(form, masked);
    this.sentence.textContent = this.describe(query, key);
    const pinned = this.describe(this.state.query, this.state.key);
    if (this.announced.textContent !== pinned) this.announced.textContent = pinned;
    for (const button of this.patternList.children) {
      button.setAttribute("aria-pressed", String(button.dataset.pattern === pattern));
    }
    const [allowed, refused] = [keys.allowed, keys.forbidden].map((homes) => homes.join(" "));
    Object.assign(this.root.dataset, {
      query: query.join(),
      key: key ? key.join() : "",
      window: keys.window,
      pattern,
      allowed,
      forbidden: masked ? refused : "",
      leaked: masked ? "" : refused,
      lit: this.hovered ? "hover" : "pinned",
    });
    this.legend.forbidden.hidden = !masked;
    this.legend.leak.hidden = masked;
  }

  describe(query, key) {
    const { form, masked } = this.state;
    return key
      ? describePair(this.geometry, query, key, form, masked)
      : describeQuery(this.geometry, query, masked);
  }

  lightMap(view, keys, query, key, denied, placeOf) {
    const { light, cell } = view;
    light.clearRect(0, 0, view.overlay.width, view.overlay.height);
    const isStage = view === this.rolled;
    // Where the regions are coloured, a lit token still says which it is of.
    const lightUp = (home, kind) => {
      const region = isStage ? regionOf(this.geometry, home) : null;
      mark(light, placeOf(home), cell, kind, isStage && {
        text: regionLabel(this.geometry, region),
        colour: regionColour(this.geometry, region),
      });
    };
    for (const home of keys.allowed) lightUp(home, "allowed");
    for (const home of keys.forbidden) lightUp(home, denied);
    if (isStage && this.roll === 1) {
      if (this.outlined) {
        outlineWindows(light, this.geometry, cell, this.outlined.windows, COLOURS.query);
      } else {
        outlineWindows(light, this.geometry, cell, [keys.window], COLOURS.query);
      }
    }
    if (isStage && this.stage === 3) {
      const seen = this.state.masked ? keys.allowed : [...keys.allowed, ...keys.forbidden];
      drawRays(light, placeOf(query), seen.map(placeOf), cell, this.rays);
    }
    lightUp(query, "query");
    if (key) mark(light, placeOf(key), cell, "key");
  }

  /** Show each head's weights of the query over the tokens of its window. */
  lightHeads(keys, query) {
    const { heads, weights } = this.attention;
    const { tokensPerWindow: tokens, numWindows, windowSize } = this.geometry;
    const half = this.state.masked ? 0 : 1;
    const allowed = new Uint8Array(tokens);
    for (const home of keys.allowed) allowed[windowOf(this.geometry, home).token] = 1;
    const rows = Array.from({ length: heads }, (_, head) => {
      const row = ((half * numWindows + keys.window) * heads + head) * tokens + keys.token;
      return Array.from(weights.subarray(row * tokens, (row + 1) * tokens), (one) => one / 65535);
    });
    if (this.heads.children.length !== heads) {
      const figures = rows.map((_, head) =>
        make("div", { class: "me-headmap", "data-head": head }, make("canvas"), make("p")),
      );
      this.heads.replaceChildren(...figures);
    }
    const cell = cellSize(windowSize, windowSize, 112, 112, 28);
    const largest = Math.max(...rows.flat());
    rows.forEach((row, head) => {
      const [canvas, words] = this.heads.children[head].children;
      resize(canvas, windowSize * cell, windowSize * cell);
      drawWeights(canvas.getContext("2d"), row, keys.token, allowed, windowSize, cell, largest);
      const most = row.indexOf(Math.max(...row));
      const leaked = row.reduce((sum, weight, token) => sum + (allowed[token] ? 0 : weight), 0);
      const where = place(homeInWindow(this.geometry, keys.window, most));
      words.textContent =
        `head ${head}: most, ${percent(row[most])}, on ${where}` +
        (leaked > 0 ? `; ${percent(leaked)} leaks` : "");
      this.heads.children[head].dataset.leaked = leaked.toFixed(3);
    });
    this.headWords.textContent = `Attention weights of query ${place(query)}, by head`;
  }

  // --- pointing and pressing ---

  /** The query, and in the matrix the key, under the pointer; null beside them and in motion. */
  under(view, event) {
    if (view === this.rolled && this.roll > 0 && this.roll < 1) return null;
    const box = view.overlay.getBoundingClientRect();
    const ratio = view.overlay.width / box.width; // canvas pixels in one on the page
    const offset = view.margin ?? 0;
    const x = Math.floor(((event.clientX - box.left) * ratio - offset) / view.cell);
    const y = Math.floor(((event.clientY - box.top) * ratio - offset) / view.cell);
    if (view === this.matrix) {
      const tokens = this.geometry.tokensPerWindow;
      if (Math.min(x, y) < 0 || Math.max(x, y) >= tokens) return null;
      const window_ = this.state.window;
      const [query, key] = [y, x].map((token) => homeInWindow(this.geometry, window_, token));
      return { query, key };
    }
    const { paddedHeight, paddedWidth } = this.geometry;
    if (x < 0 || y < 0 || x >= paddedWidth || y >= paddedHeight) return null;
    return { query: this.atHome(view, [y, x]), key: null };
  }

  atHome(view, [y, x]) {
    return view === this.rolled && this.roll === 1 ? homeOf(this.geometry, [y, x]) : [y, x];
  }

  pointAt(view, event) {
    const found = this.under(view, event);
    if (String([found?.query, found?.key]) === String([this.hovered?.query, this.hovered?.key])) {
      return;
    }
    this.hovered = found;
    this.light();
  }

  pointAway() {
    if (!this.hovered) return;
    this.hovered = null;
    this.light();
  }

  pin(view, event) {
    const found = this.under(view, event);
    if (found) this.change(found);
  }

  press(view, event) {
    const steps = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
    const turns = { "[": -1, "]": 1 };
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key in steps) {
      this.change(view === this.matrix ? this.step(steps[event.key]) : this.walk(view, steps[event.key]));
    } else if (event.key in turns) {
      const { numWindows } = this.geometry;
      this.chooseWindow((this.state.window + turns[event.key] + numWindows) % numWindows);
    } else if (event.key === "Escape") {
      this.change({ key: null });
    } else {
      return;
    }
    this.hovered = null;
    this.light();
    event.preventDefault();
  }

  /** Move the query by one token, as the view shows it. */
  walk(view, [down, right]) {
    const { paddedHeight, paddedWidth } = this.geometry;
    const isRolled = view === this.rolled && this.roll === 1;
    const [y, x] = isRolled ? rolledPlace(this.geometry, this.state.query) : this.state.query;
    const within = (number, size) => Math.min(size - 1, Math.max(0, number));
    const moved = [within(y + down, paddedHeight), within(x + right, paddedWidth)];
    return { query: this.atHome(view, moved), key: null };
  }

  /** Move in the matrix: up and down the query, left and right the key. */
  step([down, right]) {
    const { window, query, key } = this.state;
    const last = this.geometry.tokensPerWindow - 1;
    const within = (number) => Math.min(last, Math.max(0, number));
    const queryToken = windowOf(this.geometry, query).token;
    const keyToken = key ? windowOf(this.geometry, key).token : queryToken;
    const home = (token) => homeInWindow(this.geometry, window, within(token));
    return { query: home(queryToken + down), key: down && !key ? null : home(keyToken + right) };
  }

  chooseWindow(window) {
    const { token } = windowOf(this.geometry, this.state.query);
    this.change({ query: homeInWindow(this.geometry, window, token), key: null });
  }

  choosePattern(pattern) {
    const at = pattern.windows.indexOf(this.state.window);
    this.chooseWindow(pattern.windows[(at + 1) % pattern.windows.length]);
  }

  outline(pattern) {
    this.outlined = pattern;
    this.light();
  }

  // --- the animation ---

  /** Show one step as it is when it has ended. */
  showStage(stage) {
    this.stop();
    this.stage = stage;
    this.roll = isRolled(stage) ? 1 : 0;
    this.rays = 1;
    this.paintStage();
    this.light();
  }

  rest() {
    this.showStage(RESTING);
  }

  /** Play all steps, tokens moving smoothly, or step by step for who prefers reduced motion. */
  play() {
    const isStill = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
    const startOf = (stage) => {
      const before = isRolled(Math.max(stage - 1, 0)) ? 1 : 0;
      const after = isRolled(stage) ? 1 : 0;
      const length = isStill ? 0 : before !== after ? SECONDS.move : stage === 3 ? SECONDS.rays : 0;
      return { before, after, length };
    };
    let stage = 0;
    let began = null;
    const frame = (now) => {
      began ??= now;
      const { before, after, length } = startOf(stage);
      const elapsed = (now - began) / 1000;
      const progress = length ? ease(Math.min(1, elapsed / length)) : 1;
      this.stage = stage;
      this.roll = before + (after - before) * progress;
      this.rays = progress;
      this.timer = requestAnimationFrame(frame);
      this.paintStage();
      this.light();
      if (elapsed > length + (isStill ? SECONDS.still : SECONDS.hold)) {
        stage += 1;
        began = now;
        if (stage === STAGES.length) this.rest();
      }
    };
    this.hovered = null;
    this.timer = requestAnimationFrame(frame);
  }

  stop() {
    cancelAnimationFrame(this.timer);
    this.timer = null;
  }
}

function isInWindow(geometry, home, window) {
  const isOnMap = home[0] < geometry.paddedHeight && home[1] < geometry.paddedWidth;
  return isOnMap && windowOf(geometry, home).window === window;
}

function isRolled(stage) {
  return stage >= 1 && stage <= 3;
}

function ease(time) {
  return time < 0.5 ? 2 * time * time : 1 - 2 * (1 - time) ** 2;
}

function percent(share) {
  const hundredths = 100 * share;
  return hundredths > 0 && hundredths < 1 ? "under 1 %" : `${Math.round(hundredths)} %`;
}
