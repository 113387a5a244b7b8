// The result: a ranked bar for each restaurant, and the donut in the poll's order.

import { number, roughly, share, votes } from "./words.js";

/** Between two segments, in percent of the ring. */
const GAP = 0.5;
/** Of the ring's middle, in the units of its view box. */
const RADIUS = 82;
/** Below it a mark would lie across its neighbours' segments. */
const LEAST_SHARE_WITH_MARK = 0.06;
/** Counts of up to so many characters have their full size. */
const FULL_SIZE = 5;

/**
 * @typedef {object} Standing of one restaurant
 * @property {string} id
 * @property {string} name
 * @property {number} count
 * @property {number} rank 0 for the first
 */

/**
 * @param {{id: string, name: string}[]} choices in the poll's order
 * @param {Map<string, number>} counts
 */
export function standingsOf(choices, counts) {
  const standings = choices.map(({ id, name }) => ({ id, name, count: counts.get(id), rank: 0 }));
  // A stable sort: restaurants with equal counts keep the poll's order.
  const ranked = [...standings].sort((one, other) => other.count - one.count);
  ranked.forEach((standing, rank) => (standing.rank = rank));
  const total = standings.reduce((sum, { count }) => sum + count, 0);
  return { standings, ranked, total, most: Math.max(1, ranked[0].count) };
}

/** @param {Element} root */
export function result(root) {
  const choices = [...root.querySelectorAll(".row")].map((row) => ({ row, id: row.dataset.restaurant }));
  const of = (kind, id) => root.querySelector(`.${kind}[data-restaurant="${id}"]`);
  const donut = root.querySelector(".donut");

  return {
    /** @param {ReturnType<typeof standingsOf>} result */
    show({ standings, ranked, total, most }) {
      makeRoom(standings.map(({ count }) => count), total);
      choices.forEach(({ row }, place) => showRow(row, place, standings[place], { ranked, total, most }));

      let before = 0;
      standings.forEach(({ id, count }, place) => {
        // Before the first vote the signs stand where equal parts would be.
        const size = total === 0 ? 1 / standings.length : count / total;
        const start = total === 0 ? place * size : before / total;
        drawSegment(of("donut__segment", id), start, total === 0 ? 0 : size);
        drawMark(of("donut__mark", id), start + size / 2, size);
        before += count;
      });
      root.querySelector(".donut__total").textContent = number(total);
      root.querySelector(".donut__unit").textContent = total === 1 ? "vote" : "votes";
      donut.setAttribute("aria-label", inWords(ranked, total));
    },
  };
}

/**
 * Long counts are smaller, and names make room for them.
 * @param {number[]} counts
 * @param {number} total
 */
function makeRoom(counts, total) {
  const longest = Math.max(...counts.map((count) => number(count).length));
  const { style } = document.documentElement;
  style.setProperty("--fit", `${Math.min(1, FULL_SIZE / Math.max(longest, number(total).length))}`);
  style.setProperty("--chars", `${Math.max(3, Math.min(longest, FULL_SIZE))}`);
}

function showRow(row, place, { count, rank }, { ranked, total, most }) {
  const part = (name) => row.querySelector(`.${name}`);
  row.style.setProperty("--up", `${place - rank}`);
  part("row__rank").textContent = `${rank + 1}. `;
  part("row__count").textContent = number(count);
  part("row__share").textContent = share(count, total);
  part("fill").style.setProperty("--length", length(count, most));
  const isFirst = rank === 0 && total > 0 && ranked.length > 1;
  row.toggleAttribute("data-first", isFirst);
  const lead = part("row__lead");
  lead.hidden = !isFirst;
  if (!isFirst) return;
  const by = count - ranked[1].count;
  lead.textContent = by === 0 ? "level with the next" : `leads by ${roughly(by)}`;
}

/**
 * @param {number} count
 * @param {number} most
 * @returns {string} percent of the leader's bar; a vote is never nothing
 */
export function length(count, most) {
  return `${count === 0 ? 0 : Math.max(0.5, (100 * count) / most)}`;
}

/**
 * @param {Element} segment a circle; its `pathLength` is 100, so that lengths are percentages
 * @param {number} start
 * @param {number} size both in parts of the ring
 */
function drawSegment(segment, start, size) {
  const length = 100 * size;
  const gap = length < 100 ? Math.min(GAP, length / 2) : 0;
  segment.setAttribute("stroke-dasharray", `${length - gap} 100`);
  segment.setAttribute("stroke-dashoffset", `${-100 * start - gap / 2}`);
}

/**
 * @param {SVGElement} mark
 * @param {number} middle where, in parts of the ring from 12 o'clock
 * @param {number} size of its segment
 */
function drawMark(mark, middle, size) {
  const angle = (middle - 0.25) * 2 * Math.PI;
  const [x, y] = [100 + RADIUS * Math.cos(angle), 100 + RADIUS * Math.sin(angle)];
  mark.style.transform = `translate(${x.toFixed(1)}px, ${y.toFixed(1)}px)`;
  mark.toggleAttribute("hidden", size < LEAST_SHARE_WITH_MARK);
}

/**
 * @param {Standing[]} ranked
 * @param {number} total
 */
function inWords(ranked, total) {
  if (total === 0) return "No votes yet";
  return `Donut chart of ${votes(total)}: ${ranked.map(({ name, count }) => `${name} ${share(count, total)}`).join(", ")}`;
}
