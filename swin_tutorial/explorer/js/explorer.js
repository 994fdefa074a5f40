// The explorer on the page: it holds the state, and the views follow. The state has the names of the
// widget's traits. What is lit also stands in data- attributes and in a sentence, for tests and for
// screen readers, which cannot see a canvas.

import { Controls } from "./controls.js";
import { make } from "./dom.js";
import { distinctPatterns, keysOf, locate, makeGeometry, origin } from "./geometry.js";
import { HeadMaps } from "./heads.js";
import { Legend } from "./legend.js";
import { lightHome, lightMatrix, lightRolled } from "./lights.js";
import { drawMoving, drawWindows, paintTokens } from "./maps.js";
import { ARROWS, moveInMatrix, moveOnMap } from "./moves.js";
import { PatternCards } from "./patterns.js";
import { cellSize, resize } from "./signs.js";
import { Stages } from "./stages.js";
import { PICTURE_LIMITS, SIZES, clampSizes, refuseAddress } from "./state.js";
import { View, pairInMatrix, queryOnMap } from "./views.js";
import {
  describePair,
  describeQuery,
  describeSizes,
  homeNote,
  patternName,
  stageNote,
  stageTitle,
} from "./words.js";

const LARGEST_CELL = 52; // pixels per token
const TALLEST = 430; // pixels
const HELP =
  "A token is named (row, column), from 0, before the roll. Point at one to light what it attends " +
  "to; click to keep it, for example before you go to its window’s matrix. With the keyboard: Tab " +
  "to a view, arrows move the query (in the matrix, left and right choose a key), [ and ] change " +
  "the window, Escape lets the key go and stops Play.";
let explorers = 0; // on the page, for ids

/**
 * Build the explorer inside an element. `state` has height, width, window_size, shift_size, padding,
 * masked, form, query, key; `locked` fixes the sizes and the padding; `image` is an address of a
 * picture or ""; `attention` is a model's weights or null; `heading` is the title's element.
 * `report` is called with what a reader has changed.
 */
export class Explorer {
  constructor(element, state, options) {
    const { image = "", attention = null, locked = false, heading = "h3", report = () => {} } = options;
    Object.assign(this, { locked, report, picture: null });
    this.hovered = null; // {query, key} while the pointer is over a view
    this.pointedPattern = null;
    this.build(`mask-explorer-${explorers++}`, heading, attention);
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
    this.stages.stop();
    this.observer.disconnect();
    this.root.remove();
  }

  // --- the state ---

  /** Show another state, from outside; invalid values are shown as the nearest valid ones. */
  set(changes) {
    this.adopt({ ...this.state, ...changes });
  }

  /** Change the state on the page: clamp it, say so, and report it. */
  change(changes) {
    const before = this.traits();
    const reasons = this.adopt({ ...this.state, ...changes });
    this.say(reasons.join("; "));
    const changed = Object.entries(this.traits()).filter(
      ([name, value]) => String(value) !== String(before[name]),
    );
    if (changed.length) this.report(Object.fromEntries(changed));
  }

  /** The state in the names and types of the traits. */
  traits() {
    const { window, ...traits } = this.state;
    return { ...traits, selected_window: window };
  }

  /** Show a sentence on something that was clamped. */
  say(notice) {
    this.notice.textContent = notice;
  }

  adopt(wanted) {
    const { sizes, reasons } = clampSizes(wanted);
    const { padding, masked, form } = wanted;
    const geometry = makeGeometry({
      height: sizes.height,
      width: sizes.width,
      windowSize: sizes.window_size,
      shiftSize: sizes.shift_size,
      padding,
    });
    const query = [
      Math.min(wanted.query[0], geometry.paddedHeight - 1),
      Math.min(wanted.query[1], geometry.paddedWidth - 1),
    ];
    const { window } = locate(geometry, query);
    const key = wanted.key && isInWindow(geometry, wanted.key, window) ? [...wanted.key] : null;
    const before = this.state;
    this.state = { ...sizes, padding, masked, form, query, key, window };
    const isNew = !before || [...SIZES, "padding"].some((name) => before[name] !== this.state[name]);
    if (isNew) {
      this.geometry = geometry;
      this.patterns = distinctPatterns(geometry);
      this.hovered = null;
      this.pointedPattern = null;
    }
    this.controls.show(this.state, this.geometry.isPadded);
    if (isNew) this.layOut();
    else this.paint();
    return reasons;
  }

  /** Show the picture that an address holds; none, with a notice, where it holds none. */
  showPicture(address) {
    const refused = address === "" ? "" : refuseAddress(address);
    this.say(refused);
    this.picture = null;
    this.layOut();
    if (address === "" || refused) return;
    const picture = new Image();
    this.awaited = picture; // of two addresses the later one counts, whichever loads first
    picture.onload = () => {
      if (this.awaited !== picture) return;
      const { naturalWidth: width, naturalHeight: height } = picture;
      const { pixels } = PICTURE_LIMITS;
      if (Math.max(width, height) > pixels) {
        this.say(`The picture is not shown: ${width}x${height} pixels, at most ${pixels} a side`);
        return;
      }
      this.picture = picture;
      this.layOut();
    };
    picture.onerror = () => this.say("The picture is not shown: it cannot be read");
    picture.src = address;
  }

  // --- building ---

  build(id, heading, attention) {
    this.controls = new Controls({
      locked: this.locked,
      change: (changes) => this.change(changes),
      say: (notice) => this.say(notice),
    });
    this.stages = new Stages({
      begin: () => {
        this.hovered = null;
      },
      repaint: () => {
        this.paintStage();
        this.light();
      },
    });
    this.legend = new Legend();
    this.cards = new PatternCards(id, {
      choose: (pattern) => this.choosePattern(pattern),
      point: (pattern) => {
        this.pointedPattern = pattern;
        this.light();
      },
    });
    this.heads = new HeadMaps(attention);
    this.summary = make("p", { class: "me-summary" });
    this.notice = make("p", { class: "me-notice", role: "status" });
    this.sentence = make("p", { class: "me-sentence" });
    // What is pinned is announced; what the pointer passes over is not.
    this.announced = make("p", { class: "me-announced", "aria-live": "polite" });
    const help = make("p", { class: "me-note me-help", id: `${id}-help` }, HELP);
    const on = {
      point: (view, event) => this.pointAt(view, event),
      leave: () => this.pointAway(),
      pin: (view, event) => this.pin(view, event),
      press: (view, event) => this.press(view, event),
    };
    this.home = new View("home", "The map as it is", help.id, on);
    this.rolled = new View("rolled", "", help.id, on);
    this.matrix = new View("matrix", "", help.id, on);
    this.views = [this.home, this.rolled, this.matrix];
    this.root = make(
      "section",
      {
        class: "mask-explorer",
        "aria-label": "Mask explorer",
        "data-lm-suppress-shortcuts": "true", // JupyterLab's: keys pressed in here are ours
        onkeydown: (event) => event.key === "Escape" && this.stages.isPlaying && this.stages.rest(),
      },
      make("header", { class: "me-head" }, make(heading, { class: "me-name" }, "Mask explorer"), this.summary),
      this.controls.element,
      this.notice,
      this.sentence,
      this.announced,
      make("div", { class: "me-story" }, this.legend.element, this.stages.element),
      make(
        "div",
        { class: "me-views" },
        ...this.views.map((view) => view.figure),
        this.cards.figure,
        this.heads.figure,
      ),
      help,
    );
  }

  // --- showing ---

  /** Size every canvas to the page, and paint all. */
  layOut() {
    if (!this.state) return;
    this.width = this.root.clientWidth;
    const { paddedHeight, paddedWidth, tokensPerWindow } = this.geometry;
    for (const view of [this.home, this.rolled]) {
      const box = view.figure.clientWidth || 300;
      view.cell = cellSize(paddedWidth, paddedHeight, box, TALLEST, LARGEST_CELL);
      for (const canvas of view.canvases) {
        resize(canvas, paddedWidth * view.cell, paddedHeight * view.cell);
      }
    }
    const ratio = window.devicePixelRatio || 1;
    const { matrix } = this;
    const room = Math.min(matrix.figure.clientWidth || 300, TALLEST) - 28;
    matrix.margin = Math.round(26 * ratio);
    matrix.cell = cellSize(tokensPerWindow, tokensPerWindow, room, room, 30);
    const side = matrix.margin + tokensPerWindow * matrix.cell + Math.round(2 * ratio);
    for (const canvas of matrix.canvases) resize(canvas, side, side);

    this.plain = paintTokens(this.geometry, this.picture, this.home.cell, false);
    this.colored = paintTokens(this.geometry, this.picture, this.rolled.cell, true);
    this.cards.show(this.geometry, this.patterns.patterns);
    this.paint();
  }

  /** Paint what a change of state touches, without a new layout. */
  paint() {
    if (!this.plain) return;
    this.summary.textContent =
      describeSizes(this.geometry) + (this.locked ? " · sizes fixed by the model" : "");
    this.cards.describe(this.geometry, this.patterns.patterns, this.state.masked);
    this.home.pen.drawImage(this.plain, 0, 0);
    drawWindows(this.home.pen, this.geometry, this.home.cell, false);
    this.home.note.textContent = homeNote(this.geometry);
    this.home.overlay.setAttribute("aria-label", "The map as it is, with the true windows");
    this.paintStage();
    this.matrix.paintedWindow = null;
    this.light();
  }

  paintStage() {
    const { pen, cell, caption, overlay } = this.rolled;
    const { stage, roll, isMoving, name } = this.stages;
    drawMoving(pen, this.geometry, this.colored, cell, roll);
    if (roll < 1) drawWindows(pen, this.geometry, cell, false, 1 - roll);
    if (roll > 0) drawWindows(pen, this.geometry, cell, true, roll);
    const title = stageTitle(this.geometry, stage, isMoving);
    if (caption.textContent !== title) caption.textContent = title;
    overlay.setAttribute("aria-label", `${title}; numbers name the regions`);
    this.root.dataset.stage = name;
    this.stages.showButtons();
  }

  /** Light the query that is pointed at, or else the pinned one, in all views. */
  light() {
    const { geometry, stages } = this;
    const { masked, form } = this.state;
    const { query, key } = this.hovered ?? this.state;
    const keys = keysOf(geometry, query);
    const pattern = patternName(this.patterns.index[keys.window]);
    const lit = { keys, query, key, masked };

    lightHome(this.home, lit);
    lightRolled(this.rolled, geometry, lit, stages, this.pointedPattern?.windows ?? [keys.window]);
    this.rolled.note.textContent = stageNote(geometry, stages.stage, query, masked);
    lightMatrix(this.matrix, geometry, lit, form, pattern);
    this.heads.show(geometry, keys, query, masked);
    this.cards.press(pattern);
    this.legend.show(masked);
    this.sentence.textContent = this.describe(query, key);
    const pinned = this.describe(this.state.query, this.state.key);
    if (this.announced.textContent !== pinned) this.announced.textContent = pinned;

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
  }

  describe(query, key) {
    const { form, masked } = this.state;
    return key
      ? describePair(this.geometry, query, key, form, masked)
      : describeQuery(this.geometry, query, masked);
  }

  // --- pointing and pressing ---

  /** Whether a view shows the tokens where the roll has moved them. */
  isRolledMap(view) {
    return view === this.rolled && this.stages.roll === 1;
  }

  /** The query, and in the matrix the key, under the pointer; null beside them and in motion. */
  under(view, event) {
    const { roll } = this.stages;
    if (view === this.rolled && roll > 0 && roll < 1) return null;
    const cell = view.cellUnder(event);
    return view === this.matrix
      ? pairInMatrix(this.geometry, this.state.window, cell)
      : queryOnMap(this.geometry, cell, this.isRolledMap(view));
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
    const turns = { "[": -1, "]": 1 };
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const { query, key, window } = this.state;
    if (event.key in ARROWS) {
      const arrow = ARROWS[event.key];
      this.change(
        view === this.matrix
          ? moveInMatrix(this.geometry, query, key, arrow)
          : moveOnMap(this.geometry, query, this.isRolledMap(view), arrow),
      );
    } else if (event.key in turns) {
      const { numWindows } = this.geometry;
      this.chooseWindow((window + turns[event.key] + numWindows) % numWindows);
    } else if (event.key === "Escape") {
      this.change({ key: null });
    } else {
      return;
    }
    this.hovered = null;
    this.light();
    event.preventDefault();
  }

  chooseWindow(window) {
    const { index } = locate(this.geometry, this.state.query);
    this.change({ query: origin(this.geometry, window, index), key: null });
  }

  choosePattern(pattern) {
    const at = pattern.windows.indexOf(this.state.window);
    this.chooseWindow(pattern.windows[(at + 1) % pattern.windows.length]);
  }
}

function isInWindow(geometry, home, window) {
  const isOnMap = home[0] < geometry.paddedHeight && home[1] < geometry.paddedWidth;
  return isOnMap && locate(geometry, home).window === window;
}
