// This visitor's votes, from the click until they are confirmed.
//
// A vote has a key. An app server that sends `Yelb-Host` counts it once for each key, however often it is sent, and keeps keys for
// a day. So a vote that was not confirmed is sent again by itself, but only to such an app server and within the day. Any other
// may count it twice; then the visitor decides.

import { castVote } from "./api.js";
import { canKeepVotes, dropVote, keepVote, keptVotes, onDroppedElsewhere, onReturn } from "./memory.js";
import { savedCounted, saveCounted, savedKeepsKeys, saveKeepsKeys } from "./memory.js";

/** What the app server keeps keys for, less a minute for the way. */
const KEYS_ARE_KEPT = 24 * 3_600_000 - 60_000;

/**
 * - `sending`: not answered yet
 * - `waiting`: not confirmed; sent again as soon as the app server works
 * - `kept`: not confirmed; what becomes of it depends on the app server, which has not been heard of yet
 * - `unsure`: not confirmed, and to send it again might count it twice
 * @typedef {"sending" | "waiting" | "kept" | "unsure"} Fate
 */

/**
 * @typedef {object} OwnVotes what is known of this visitor's votes for one restaurant
 * @property {Record<Fate, number>} open
 * @property {number | undefined} countedAt
 */

/**
 * @param {string[]} ids
 * @param {object} to
 * @param {(vote: {id: string, failed: boolean}, count: number, host: import("./api.js").Host) => void} to.onCounted `failed`: it
 *   was sent again
 * @param {(id: string, fate: Fate) => void} to.onUnconfirmed a vote that was cast just now
 * @param {() => void} to.onChange
 */
export function voting(ids, { onCounted, onUnconfirmed, onChange }) {
  /** @type {Map<string, import("./memory.js").Vote & {failed: boolean, refused: boolean, isKept: boolean}>} in turn */
  const open = new Map();
  const underWay = new Set();
  const countedAt = savedCounted();
  let keepsKeys = savedKeepsKeys();
  let survives = canKeepVotes();
  let repeating = false;

  for (const vote of keptVotes()) if (!ids.includes(vote.id) && isOld(vote)) dropVote(vote);
  takeOver(keptVotes());
  onReturn(() => {
    const kept = keptVotes();
    // Not what the visitor would have to decide: another tab may be sending it.
    if (keepsKeys !== false) takeOver(kept);
    forgetSettled(kept);
    onChange();
  });
  onDroppedElsewhere((key) => {
    if (!underWay.has(key) && open.delete(key)) onChange();
  });

  /** Votes of the time before a reload, or of tabs that are closed. */
  function takeOver(kept) {
    for (const vote of kept) {
      if (ids.includes(vote.id) && !open.has(vote.key)) open.set(vote.key, { ...vote, failed: true, refused: false, isKept: true });
    }
  }

  /** Another tab has settled them. A vote that waits is sent again, and counted once. */
  function forgetSettled(kept) {
    const keys = new Set(kept.map(({ key }) => key));
    for (const vote of [...open.values()]) {
      if (vote.isKept && !keys.has(vote.key) && fateOf(vote) === "unsure" && !underWay.has(vote.key)) open.delete(vote.key);
    }
  }

  /** @returns {Fate} */
  function fateOf(vote) {
    if (!vote.failed) return "sending";
    if (vote.refused || keepsKeys === false || isOld(vote)) return "unsure";
    return keepsKeys ? "waiting" : "kept";
  }

  function openVotes(id, fate) {
    return [...open.values()].filter((vote) => (id === null || vote.id === id) && fateOf(vote) === fate);
  }

  function count(fate) {
    return openVotes(null, fate).length;
  }

  /** @param {import("./api.js").Host} host of an app server that has answered */
  function heard(host) {
    const keeps = host !== null;
    if (keeps !== keepsKeys) saveKeepsKeys(keeps);
    keepsKeys = keeps;
  }

  /** @returns {Promise<import("./api.js").Trouble | null>} */
  async function send(vote) {
    underWay.add(vote.key);
    onChange();
    const answer = await castVote(vote.id, vote.key).catch((trouble) => trouble);
    underWay.delete(vote.key);
    if (answer instanceof Error) {
      vote.failed = true;
      // The others have their turn before it: its restaurant alone may be refused.
      if (open.delete(vote.key)) open.set(vote.key, vote);
      vote.refused = isFinal(answer);
      // Not `heard(null)`: an error without the name may be a proxy's.
      if (answer.host) heard(answer.host);
      onChange();
      return answer;
    }
    heard(answer.host);
    drop(vote);
    countedAt.set(vote.id, Date.now());
    saveCounted(countedAt);
    onCounted(vote, answer.count, answer.host);
    onChange();
    return null;
  }

  function drop(vote) {
    open.delete(vote.key);
    dropVote(vote);
  }

  /** Sends the votes one after the other, so that a store that is up again does not get all at once. A vote whose fate changes is skipped. */
  async function sendAll(id, fate) {
    for (const vote of openVotes(id, fate)) {
      if (underWay.has(vote.key) || !open.has(vote.key) || fateOf(vote) !== fate) continue;
      const trouble = await send(vote);
      if (trouble && !vote.refused) return trouble;
    }
    return null;
  }

  return {
    heard,

    /**
     * Several may be under way at once: each click is a vote.
     * @param {string} id
     */
    async cast(id) {
      const vote = { key: newKey(), id, at: Date.now(), failed: false, refused: false, isKept: false };
      open.set(vote.key, vote);
      survives = vote.isKept = keepVote(vote);
      if (await send(vote)) onUnconfirmed(id, fateOf(vote));
    },

    /**
     * Sends what waits, if the app server is one that keeps keys.
     * @returns {Promise<import("./api.js").Trouble | null | undefined>} undefined if that is being done already
     */
    async repeat() {
      if (repeating) return undefined;
      repeating = true;
      const trouble = await sendAll(null, "waiting");
      repeating = false;
      return trouble;
    },

    /** The visitor wants it, and has been told that it may count twice. */
    async sendUnsure(id) {
      if (await sendAll(id, "unsure")) onUnconfirmed(id, "unsure");
    },

    forgetUnsure(id) {
      openVotes(id, "unsure").forEach(drop);
      onChange();
    },

    /** @returns {OwnVotes} */
    of(id) {
      const fates = ["sending", "waiting", "kept", "unsure"];
      const open = Object.fromEntries(fates.map((fate) => [fate, openVotes(id, fate).length]));
      return { open, countedAt: countedAt.get(id) };
    },

    get waiting() {
      return count("waiting") + count("kept");
    },

    get unsure() {
      return count("unsure");
    },

    /** @returns {boolean | null} null if no app server has been heard of yet */
    get keepsKeys() {
      return keepsKeys;
    },

    /** Whether votes that wait are still there after a reload. */
    get survives() {
      return survives;
    },
  };
}

/** Whether the app server itself, and not what stands in front of it, says what it will say each time. */
function isFinal({ host, status }) {
  return host !== null && status >= 400 && status < 500 && status !== 408 && status !== 429;
}

function isOld({ at }) {
  return Date.now() - at > KEYS_ARE_KEPT;
}

/** Not `randomUUID`, which browsers keep from pages that came by plain HTTP. */
function newKey() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
