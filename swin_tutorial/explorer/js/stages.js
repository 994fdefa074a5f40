// The steps of shifted-window attention: chosen by a button, or played one after the other.

import { make } from "./dom.js";
import { STAGES } from "./words.js";

const RESTING = 2; // the stage that is shown while nothing plays
const ATTEND = 3;
const SECONDS = { move: 1.1, rays: 0.7, hold: 1.3, holdStill: 1.9 };

/**
 * `stage` is the step that is shown; `roll` says how far the tokens are on their way, 0 at home and
 * 1 rolled; `rays` how far the rays have grown. `repaint` is called when any of them changes, `begin`
 * when it starts to play.
 */
export class Stages {
  constructor({ begin, repaint }) {
    Object.assign(this, { begin, repaint, stage: RESTING, roll: 1, rays: 1, timer: null });
    this.playButton = make("button", {
      type: "button",
      class: "me-play",
      onclick: () => (this.isPlaying ? this.rest() : this.play()),
    });
    this.buttons = STAGES.map((name, number) =>
      make("button", { type: "button", "data-stage": number, onclick: () => this.show(number) }, name),
    );
    this.element = make(
      "div",
      { class: "me-stages", role: "group", "aria-label": "The steps of shifted-window attention" },
      this.playButton,
      ...this.buttons,
    );
  }

  get name() {
    return STAGES[this.stage];
  }

  get isPlaying() {
    return this.timer !== null;
  }

  get isAttend() {
    return this.stage === ATTEND;
  }

  /** Whether the tokens are still on their way to where this stage has them. */
  get isMoving() {
    return this.roll !== (isRolled(this.stage) ? 1 : 0);
  }

  /** Show one step as it is when it has ended. */
  show(stage) {
    this.stop();
    Object.assign(this, { stage, roll: isRolled(stage) ? 1 : 0, rays: 1 });
    this.repaint();
  }

  rest() {
    this.show(RESTING);
  }

  /** Play all steps, tokens moving smoothly, or step by step where less motion is preferred. */
  play() {
    const isStill = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
    const startOf = (stage) => {
      const before = isRolled(Math.max(stage - 1, 0)) ? 1 : 0;
      const after = isRolled(stage) ? 1 : 0;
      const length = isStill ? 0 : before !== after ? SECONDS.move : stage === ATTEND ? SECONDS.rays : 0;
      return { before, after, length };
    };
    let stage = 0;
    let began = null;
    const step = (now) => {
      began ??= now;
      const { before, after, length } = startOf(stage);
      const elapsed = (now - began) / 1000;
      const progress = length ? ease(Math.min(1, elapsed / length)) : 1;
      Object.assign(this, { stage, roll: before + (after - before) * progress, rays: progress });
      this.timer = requestAnimationFrame(step);
      this.repaint();
      if (elapsed > length + (isStill ? SECONDS.holdStill : SECONDS.hold)) {
        stage += 1;
        began = now;
        if (stage === STAGES.length) this.rest();
      }
    };
    this.begin();
    this.timer = requestAnimationFrame(step);
  }

  stop() {
    cancelAnimationFrame(this.timer);
    this.timer = null;
  }

  /** Show on the buttons which step it is. */
  showButtons() {
    this.buttons.forEach((button, number) => {
      button.setAttribute("aria-current", number === this.stage ? "step" : "false");
    });
    this.playButton.textContent = this.isPlaying ? "■ Stop" : "▶ Play";
  }
}

function isRolled(stage) {
  return stage >= 1 && stage <= 3;
}

function ease(time) {
  return time < 0.5 ? 2 * time * time : 1 - 2 * (1 - time) ** 2;
}
