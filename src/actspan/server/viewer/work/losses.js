// Losses of a training as small charts, one per network.

/** @import { EpochLosses } from "../types.js" */

import { make } from "../dom.js";

const WIDTH = 160, HEIGHT = 44, SVG = "http://www.w3.org/2000/svg";

/**
 * Draw the losses by network: training as a line, validation dashed.
 * @param {HTMLElement} room
 * @param {Record<string, EpochLosses[]>} losses
 */
export function drawLosses(room, losses) {
  room.replaceChildren();
  for (const [net, epochs] of Object.entries(losses)) {
    const figure = make(room, "figure"), chart = document.createElementNS(SVG, "svg");
    const last = epochs[epochs.length - 1];
    chart.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
    chart.setAttribute("aria-hidden", "true"); // the caption has the figures
    figure.append(chart);
    const series = { training: epochs.map((one) => one.training), validation: epochs.map((one) => one.validation) };
    const values = Object.values(series).flat().filter((value) => value !== null);
    const low = Math.min(...values), high = Math.max(...values);
    for (const [name, line] of Object.entries(series)) {
      const path = chart.appendChild(document.createElementNS(SVG, "path"));
      path.setAttribute("class", name);
      path.setAttribute("d", pathOf(line, low, high));
    }
    const validation = last.validation === null ? "" : `, held out ${last.validation.toFixed(3)}`;
    make(figure, "figcaption", {}, `${net}, epoch ${last.epoch}: loss ${last.training.toFixed(3)}${validation}`);
  }
}

/**
 * @param {(number | null)[]} line
 * @param {number} low
 * @param {number} high
 */
function pathOf(line, low, high) {
  const across = (WIDTH - 4) / Math.max(line.length - 1, 1), up = (HEIGHT - 4) / (high - low || 1);
  const points = line.flatMap((value, i) => (value === null ? [] : [`${2 + i * across} ${2 + (high - value) * up}`]));
  if (points.length === 1) return `M${points[0]}h2`;
  return points.length ? `M${points.join("L")}` : "";
}
