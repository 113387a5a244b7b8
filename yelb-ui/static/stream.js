// The live stream, for as long as the page is visible, and how streams are read.

import { addressOf, checkedCounts, checkedName, isCount, parsed, Trouble } from "./api.js";

/** The page's server sends something every 15 s at least. */
const SILENCE = 40_000;

/**
 * @typedef {object} Event
 * @property {Map<string, number> | null} counts null while they cannot be read
 * @property {Trouble | null} trouble why they cannot
 * @property {number | null} views page views, null if they are not known
 * @property {boolean} viewsDown whether the store of the page views is down
 * @property {import("./api.js").Host} host of the app server that tells it
 */

/**
 * Reads the live stream until it ends, fails or is silent.
 * @param {string[]} ids
 * @param {AbortController} ending ends it
 * @param {object} to
 * @param {() => void} to.onSign a sign of life
 * @param {(event: Event) => void} to.onEvent
 * @returns {Promise<boolean>} false if there is none here
 */
export function follow(ids, ending, { onSign, onEvent }) {
  return readEvents("api/stream", ending, { onSign, onData: (data) => onEvent(eventOf(data, ids)) });
}

/** The same for any stream of events in JSON. */
export async function readEvents(path, ending, { onSign, onData }) {
  let silence = 0;
  function listen() {
    clearTimeout(silence);
    silence = setTimeout(() => ending.abort(), SILENCE);
  }

  try {
    listen();
    const response = await fetch(addressOf(path), { cache: "no-store", signal: ending.signal });
    if (!response.ok && response.status !== 404) throw new Trouble("refusal");
    if (!/event-stream/.test(response.headers.get("Content-Type") ?? "")) return false;
    const reader = response.body.getReader();
    const decoder = new TextDecoder();
    let text = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return true;
      listen();
      onSign?.();
      const parts = (text + decoder.decode(value, { stream: true })).split("\n\n");
      text = parts.pop();
      for (const part of parts) if (part.startsWith("data: ")) onData(parsed(part.slice(6)));
    }
  } finally {
    clearTimeout(silence);
    ending.abort();
  }
}

/** @returns {Event} */
function eventOf(told, ids) {
  const down = Array.isArray(told?.down) ? told.down : [];
  const isTold = Boolean(told?.votes) && !down.includes("yelb-appserver");
  return {
    counts: isTold ? checkedCounts(told.votes, ids) : null,
    trouble: isTold ? null : new Trouble(down.includes("yelb-appserver") ? "app-server" : "store"),
    views: isCount(told?.pageviews) ? told.pageviews : null,
    viewsDown: down.includes("page-views"),
    host: isTold ? checkedName(told.hostname) : null,
  };
}
