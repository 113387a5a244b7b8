// The last totals, kept through a reload for the time when nobody can be asked.
//
// Storage may be switched off, full or written by an older page. None of that is worth more than doing without.

import { isCount } from "./api.js";

/** By path: several Yelbs may live on one origin. */
const KEY = `yelb totals of ${location.pathname}`;

/**
 * @param {Map<string, number>} counts
 * @param {number} asOf
 */
export function saveTotals(counts, asOf) {
  try {
    localStorage.setItem(KEY, JSON.stringify({ asOf, counts: Object.fromEntries(counts) }));
  } catch {
    // Then there is nothing to remember.
  }
}

/**
 * @param {string[]} ids
 * @returns {{counts: Map<string, number>, asOf: number} | null}
 */
export function savedTotals(ids) {
  try {
    const saved = JSON.parse(localStorage.getItem(KEY) ?? "null");
    const counts = new Map(ids.map((id) => [id, saved.counts[id]]));
    return isCount(saved.asOf) && [...counts.values()].every(isCount) ? { counts, asOf: saved.asOf } : null;
  } catch {
    return null;
  }
}
