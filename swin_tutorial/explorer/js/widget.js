// The explorer as a Jupyter widget: anywidget calls render, the traits are the state.

import { Explorer } from "./explorer.js";

const TRAITS = [
  "height",
  "width",
  "window_size",
  "shift_size",
  "padding",
  "masked",
  "form",
  "query",
  "key",
];

function render({ model, el }) {
  const read = () => Object.fromEntries(TRAITS.map((name) => [name, model.get(name)]));
  const explorer = new Explorer(el, read(), {
    image: model.get("_image"),
    attention: readAttention(model),
    locked: model.get("_heads") > 0,
    report: (changes) => {
      for (const [name, value] of Object.entries(changes)) model.set(name, value);
      model.save_changes();
    },
  });
  if (model.get("notice")) explorer.say(model.get("notice"));
  const update = () => explorer.set(read());
  const renewPicture = () => explorer.showPicture(model.get("_image"));
  const renewNotice = () => explorer.say(model.get("notice"));
  for (const name of TRAITS) model.on(`change:${name}`, update);
  model.on("change:_image", renewPicture);
  model.on("change:notice", renewNotice);
  return () => {
    for (const name of TRAITS) model.off(`change:${name}`, update);
    model.off("change:_image", renewPicture);
    model.off("change:notice", renewNotice);
    explorer.remove();
  };
}

/** Read the weights: 16-bit numbers, first under the mask, then without it; n heads t t each. */
function readAttention(model) {
  const heads = model.get("_heads");
  if (!heads) return null;
  const bytes = model.get("_weights");
  const start = bytes.byteOffset;
  return { heads, weights: new Uint16Array(bytes.buffer.slice(start, start + bytes.byteLength)) };
}

export default { render };
