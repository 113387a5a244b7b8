// The donut, and a column of figures for each restaurant beside it.

import { number, share, votes } from "./words.js";

/** Between two segments, in percent of the ring. */
const GAP = 0.8;

export class Chart {
  #donut;
  #total;
  #parts;

  /** @param {Element} root */
  constructor(root) {
    this.#donut = root.querySelector(".donut");
    this.#total = root.querySelector(".total__count");
    this.#parts = [...root.querySelectorAll(".column")].map((column) => ({
      id: column.dataset.restaurant,
      name: column.querySelector(".column__name").textContent,
      count: column.querySelector(".column__count"),
      share: column.querySelector(".column__share"),
      segment: root.querySelector(`.donut__segment[data-restaurant="${column.dataset.restaurant}"]`),
    }));
  }

  /** @returns {string[]} the restaurants, in the order of the chart */
  get ids() {
    return this.#parts.map((part) => part.id);
  }

  /** @param {Map<string, number>} counts */
  show(counts) {
    const total = [...counts.values()].reduce((sum, count) => sum + count, 0);
    this.#total.textContent = number(total);

    let before = 0;
    for (const part of this.#parts) {
      const count = counts.get(part.id);
      part.count.textContent = number(count);
      part.share.textContent = share(count, total);
      draw(part.segment, before, count, total);
      before += count;
    }
    this.#donut.setAttribute("aria-label", this.#inWords(counts, total));
  }

  /**
   * @param {Map<string, number>} counts
   * @param {number} total
   */
  #inWords(counts, total) {
    const shares = this.#parts.map(({ id, name }) => `${name} ${share(counts.get(id), total)}`);
    return `Donut chart of ${votes(total)}: ${shares.join(", ")}`;
  }
}

/**
 * @param {Element} segment a circle; its `pathLength` is 100, so that lengths are percentages
 * @param {number} before votes in the segments before this one
 * @param {number} count
 * @param {number} total
 */
function draw(segment, before, count, total) {
  const length = total === 0 ? 0 : (100 * count) / total;
  const start = total === 0 ? 0 : (100 * before) / total;
  const gap = length < 100 ? Math.min(GAP, length / 2) : 0;
  segment.setAttribute("stroke-dasharray", `${length - gap} 100`);
  segment.setAttribute("stroke-dashoffset", `${-start - gap / 2}`);
}
