// What the browser keeps for this page, through a reload and for other tabs.
//
// Storage may be switched off, full or written by an older page. Then the page works without it.

import { isCount } from "./api.js";

/** By path: several Yelbs may live on one origin. */
const HERE = location.pathname;
const TOTALS = `yelb totals of ${HERE}`;
const VOTE = `yelb vote of ${HERE} `;
const KEYS = `yelb keys of ${HERE}`;
const COUNTED = `yelb counted of ${HERE}`;
const OUTAGE = `yelb outage of ${HERE}`;

/** The stream tells of up to twenty changes a second. */
const SAVE_EVERY = 1_000;

/**
 * @template T
 * @param {() => T} use
 * @param {T} otherwise
 */
function tried(use, otherwise) {
  try {
    return use();
  } catch {
    return otherwise;
  }
}

/**
 * @param {Map<string, number>} counts
 * @param {number} asOf
 */
export function saveTotals(counts, asOf) {
  const text = JSON.stringify({ asOf, counts: Object.fromEntries(counts) });
  tried(() => localStorage.setItem(TOTALS, text), undefined);
}

let unsaved = null;
let saving = 0;

/** The same a little later, unless others replace them. They are saved before the page goes. */
export function saveTotalsSoon(counts, asOf) {
  unsaved = [counts, asOf];
  if (saving === 0) saving = setTimeout(saveUnsaved, SAVE_EVERY);
}

function saveUnsaved() {
  clearTimeout(saving);
  saving = 0;
  if (unsaved) saveTotals(...unsaved);
  unsaved = null;
}

document.addEventListener("visibilitychange", saveUnsaved);
// Where a page that goes is not hidden before.
addEventListener("pagehide", saveUnsaved);

/**
 * @param {string[]} ids
 * @returns {{counts: Map<string, number>, asOf: number} | null}
 */
export function savedTotals(ids) {
  return tried(() => {
    const saved = JSON.parse(localStorage.getItem(TOTALS) ?? "null");
    const counts = new Map(ids.map((id) => [id, saved.counts[id]]));
    const usable = isCount(saved.asOf) && [...counts.values()].every(isCount);
    return usable ? { counts, asOf: saved.asOf } : null;
  }, null);
}

/** @param {boolean} kept whether the app server that answered last keeps the keys of votes */
export function saveKeepsKeys(kept) {
  tried(() => localStorage.setItem(KEYS, `${kept}`), undefined);
}

/** @returns {boolean | null} null if none has answered yet */
export function savedKeepsKeys() {
  const saved = tried(() => localStorage.getItem(KEYS), null);
  return saved === null ? null : saved === "true";
}

/**
 * A vote from the click to its confirmation.
 * @typedef {{key: string, id: string, at: number}} Vote `at`: of the click, in milliseconds since 1970
 */

/**
 * One item for each vote, so that tabs do not write over each other's.
 * @param {Vote} vote
 * @returns {boolean} whether the vote will survive a reload
 */
export function keepVote({ key, id, at }) {
  return tried(() => {
    localStorage.setItem(VOTE + key, JSON.stringify({ id, at }));
    return true;
  }, false);
}

/** @returns {boolean} whether votes can be kept at all */
export function canKeepVotes() {
  return tried(() => {
    localStorage.setItem(VOTE, "");
    localStorage.removeItem(VOTE);
    return true;
  }, false);
}

/** @param {Vote} vote */
export function dropVote({ key }) {
  tried(() => localStorage.removeItem(VOTE + key), undefined);
}

/** @returns {Vote[]} the oldest first */
export function keptVotes() {
  const names = tried(() => Object.keys(localStorage), []).filter((name) => name.startsWith(VOTE));
  const votes = names.map((name) =>
    tried(() => {
      const { id, at } = JSON.parse(localStorage.getItem(name));
      return typeof id === "string" && isCount(at) ? { key: name.slice(VOTE.length), id, at } : null;
    }, null),
  );
  return votes.filter((vote) => vote !== null).sort((one, other) => one.at - other.at);
}

/** @param {(key: string) => void} tell the key of a vote that another tab has settled */
export function onDroppedElsewhere(tell) {
  addEventListener("storage", ({ key, newValue }) => {
    if (key !== null && key.startsWith(VOTE) && newValue === null) tell(key.slice(VOTE.length));
  });
}

/** @param {() => void} tell the page is looked at again; in the browser's memory of pages it was told nothing */
export function onReturn(tell) {
  document.addEventListener("visibilitychange", () => document.hidden || tell());
  addEventListener("pageshow", ({ persisted }) => persisted && tell());
}

/**
 * When this tab's last vote for each restaurant was counted.
 * @param {Map<string, number>} times
 */
export function saveCounted(times) {
  tried(() => sessionStorage.setItem(COUNTED, JSON.stringify(Object.fromEntries(times))), undefined);
}

/** @returns {Map<string, number>} */
export function savedCounted() {
  return tried(() => {
    const saved = Object.entries(JSON.parse(sessionStorage.getItem(COUNTED) ?? "{}"));
    return new Map(saved.filter(([, at]) => isCount(at)));
  }, new Map());
}

/** @param {number | null} since when the outage that this tab sees began; null when it is over */
export function saveOutage(since) {
  tried(() => (since === null ? sessionStorage.removeItem(OUTAGE) : sessionStorage.setItem(OUTAGE, `${since}`)), undefined);
}

/** @returns {number | null} */
export function savedOutage() {
  const since = tried(() => Number(sessionStorage.getItem(OUTAGE) ?? NaN), NaN);
  return isCount(since) ? since : null;
}
