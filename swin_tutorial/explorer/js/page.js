// The explorer on a page of its own, where no kernel runs.

import { Explorer } from "./explorer.js";

const { image, ...state } = JSON.parse(document.getElementById("state").textContent);
new Explorer(document.getElementById("explorer"), state, { image, heading: "h1" });
