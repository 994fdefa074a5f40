// What the explorer's sizes may be: the same limits as in swin_tutorial/explorer/state.py.

export const SIZES = ["height", "width", "window_size", "shift_size"];
export const LIMITS = { size: 64, window: 16 }; // tokens

/** The lowest and the highest value of each size, beside a window size. */
export function rangesOf(windowSize) {
  return {
    height: [1, LIMITS.size],
    width: [1, LIMITS.size],
    window_size: [1, LIMITS.window],
    shift_size: [0, windowSize - 1],
  };
}

/** Return valid sizes, as near as possible to the wanted ones, and why any were changed. */
export function clampSizes(wanted) {
  const [sizes, reasons] = [{}, []];
  for (const name of SIZES) {
    const [low, high] = rangesOf(sizes.window_size)[name];
    const value = wanted[name];
    const isNumber = Number.isFinite(value);
    sizes[name] = isNumber ? Math.min(high, Math.max(low, Math.round(value))) : low;
    if (sizes[name] === value) continue;
    const short = name.replace("_size", "");
    const than = name === "shift_size" ? " smaller than the window," : ",";
    reasons.push(
      `${short} ${isNumber ? value : "?"} became ${sizes[name]}: ` +
        `a whole number${than} ${low} to ${high}`,
    );
  }
  return { sizes, reasons };
}
