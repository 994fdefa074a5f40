// What the explorer's sizes and its picture may be: the same limits as in state.py and pictures.py
// of swin_tutorial/explorer.

export const SIZES = ["height", "width", "window_size", "shift_size"];
export const LIMITS = { size: 64, window: 16 }; // tokens
export const PICTURE_LIMITS = { characters: 2000000, pixels: 640 };
const ADDRESS = /^data:image\/jpeg;base64,[A-Za-z0-9+/]+={0,2}$/;

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

/** Why an address does not hold a picture itself, "" if it does. Any other might be fetched. */
export function refuseAddress(address) {
  const isPicture =
    typeof address === "string" &&
    address.length <= PICTURE_LIMITS.characters &&
    ADDRESS.test(address);
  return isPicture ? "" : "The picture is not shown: its address must hold a JPEG itself";
}
