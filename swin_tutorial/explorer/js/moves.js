// Where the arrow keys lead from a query.

import { afterRoll, beforeRoll, locate, origin } from "./geometry.js";

export const ARROWS = {
  ArrowUp: [-1, 0],
  ArrowDown: [1, 0],
  ArrowLeft: [0, -1],
  ArrowRight: [0, 1],
};

/** Move the query by one token on a map, not beyond its edge; `isRolled` says which map it shows. */
export function moveOnMap(geometry, query, isRolled, [down, right]) {
  const [y, x] = isRolled ? afterRoll(geometry, query) : query;
  const moved = [
    within(y + down, geometry.paddedHeight),
    within(x + right, geometry.paddedWidth),
  ];
  return { query: isRolled ? beforeRoll(geometry, moved) : moved, key: null };
}

/** Move in the matrix of the query's window: up and down the query, left and right the key. */
export function moveInMatrix(geometry, query, key, [down, right]) {
  const { window, index } = locate(geometry, query);
  const keyIndex = key ? locate(geometry, key).index : index;
  const tokenAt = (number) => origin(geometry, window, within(number, geometry.tokensPerWindow));
  return {
    query: tokenAt(index + down),
    key: down && !key ? null : tokenAt(keyIndex + right),
  };
}

function within(number, size) {
  return Math.min(size - 1, Math.max(0, number));
}
