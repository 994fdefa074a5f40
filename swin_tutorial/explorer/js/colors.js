// The palette: the colors of swin_tutorial/figures/style.py. Every color has a sign beside it.

import { isPaddingRegion } from "./geometry.js";

export const COLORS = {
  regions: [
    "#88CCEE", "#CC6677", "#DDCC77", "#117733", "#332288", "#AA4499",
    "#44AA99", "#999933", "#882255", "#E69F00", "#CCDDAA", "#1A1A1A",
  ],
  padding: "#BBBBBB",
  ink: "#222222",
  allowed: "#E8F1F8",
  forbidden: "#3B3A6B",
  query: "#EE7733",
  leak: "#CC6677",
};

/** A region's color: regions that meet, in the map or in a rolled window, have different ones. */
export function regionColor(geometry, region) {
  if (isPaddingRegion(geometry, region)) return COLORS.padding;
  const { stripRows, stripColumns, realStripRows, realStripColumns } = geometry;
  if (stripRows * stripColumns <= COLORS.regions.length) return COLORS.regions[region];
  // The roll joins the first and the last strip, so the last has a class of its own.
  const [row, column] = [Math.floor(region / stripColumns), region % stripColumns];
  const rowClass = row && row === realStripRows - 1 ? 2 : row % 2;
  const columnClass = column && column === realStripColumns - 1 ? 3 : column % 3;
  return COLORS.regions[rowClass * 4 + columnClass];
}

/** The red, green and blue of a color, 0 to 255. */
export function channels(color) {
  return [1, 3, 5].map((start) => parseInt(color.slice(start, start + 2), 16));
}
