// The legend of the signs.

import { make } from "./dom.js";

const ENTRIES = [
  ["query", "★", "query, a key of its own as well"],
  ["allowed", "●", "key it may attend to"],
  ["forbidden", "×", "masked key"],
  ["leak", "○", "key that leaks in"],
];

export class Legend {
  constructor() {
    this.entries = Object.fromEntries(
      ENTRIES.map(([kind, sign, text]) => [
        kind,
        make("span", { class: `me-key me-key-${kind}` }, make("i", {}, sign), text),
      ]),
    );
    this.element = make(
      "p",
      { class: "me-legend", "aria-hidden": "true" },
      ...Object.values(this.entries),
    );
  }

  /** Show the sign that the other keys of the window carry. */
  show(masked) {
    this.entries.forbidden.hidden = !masked;
    this.entries.leak.hidden = masked;
  }
}
