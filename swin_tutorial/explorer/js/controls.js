// The controls: sliders for the sizes, buttons for the mask, the padding and the entries.

import { make } from "./dom.js";
import { SIZES, rangesOf } from "./state.js";

const SIZE_LABELS = { height: "Height", width: "Width", window_size: "Window size", shift_size: "Shift" };

/**
 * `locked` fixes the sizes and the padding; `change` is called with what a reader sets, `say` with
 * a sentence to show.
 */
export class Controls {
  constructor({ locked, change, say }) {
    Object.assign(this, { locked, change, say, inputs: {}, choices: {}, state: null });
    this.element = make(
      "div",
      { class: "me-controls", role: "group", "aria-label": "Geometry and mask" },
      ...SIZES.map((name) => this.buildSlider(name)),
      this.buildChoice("masked", "Mask", [[true, "on"], [false, "off"]]),
      this.buildChoice("padding", "Padding", [["mask", "masked"], ["attend", "attended to"]]),
      this.buildChoice("form", "Entries", [["boolean", "boolean"], ["additive", "additive"]]),
    );
  }

  buildSlider(name) {
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

  /** Show a state; `isPadded` says whether the choice of padding changes anything. */
  show(state, isPadded) {
    this.state = state;
    const ranges = rangesOf(state.window_size);
    for (const name of SIZES) {
      const { range, number, limits } = this.inputs[name];
      for (const input of [range, number]) {
        [input.min, input.max] = ranges[name];
        input.value = state[name];
        input.disabled = this.locked;
      }
      limits.textContent = `${ranges[name][0]}–${ranges[name][1]}`;
    }
    for (const [name, choices] of Object.entries(this.choices)) {
      for (const { value, button } of choices) {
        button.setAttribute("aria-pressed", String(value === state[name]));
        button.disabled = this.locked && name === "padding";
      }
    }
    for (const { button } of this.choices.padding) {
      button.classList.toggle("me-idle", !isPadded);
      button.title = isPadded ? "" : "The map divides into windows: there is no padding";
    }
  }
}
