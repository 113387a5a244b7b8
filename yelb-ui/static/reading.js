// When the totals are read, and when the stream is followed instead. totals.js knows what the answers mean.

import { getVotes } from "./api.js";
import { follow } from "./stream.js";

/** Other people vote, too. */
const READ_EVERY = 3_000;
/** However long a server asks to be left alone, the page is back soon after the server is. */
const READ_AT_LEAST_EVERY = 10_000;
/** After a stream was cut. Not all pages ask at the same moment what the matter is. */
const READ_WITHIN = 1_000;
/** Where there was no stream, another server may answer by then. */
const LOOK_AGAIN_AFTER = 60_000;

/**
 * @param {string[]} ids
 * @param {object} to
 * @param {() => boolean} to.isAwaited whether to read also beside the stream, or on a hidden page
 * @param {() => number} to.onBegin gives the ticket of a read that begins
 * @param {(ticket: number, answer: {counts: Map<string, number>, host: import("./api.js").Host}) => void} to.onAnswer
 * @param {(ticket: number, trouble: import("./api.js").Trouble) => void} to.onFailure
 * @param {(event: import("./stream.js").Event, isFirst: boolean) => void} to.onEvent
 * @param {() => void} to.onSign what the stream told last still holds
 */
export function reading(ids, { isAwaited, onBegin, onAnswer, onFailure, onEvent, onSign }) {
  let next = 0;
  let underWay = 0;
  let hasFailed = false;
  /** @type {AbortController | null} ends the stream that is open */
  let stream = null;
  /** Whether it has told anything. */
  let isLive = false;
  /** Runs while it makes no sense to ask for a stream. */
  let without = 0;

  function plan(pause) {
    clearTimeout(next);
    next = setTimeout(read, pause);
  }

  async function read() {
    clearTimeout(next);
    const ticket = onBegin();
    underWay += 1;
    const answer = await getVotes(ids).catch((error) => error);
    underWay -= 1;
    if (answer instanceof Error) failed(ticket, answer);
    else succeeded(ticket, answer);
  }

  function failed(ticket, trouble) {
    hasFailed = true;
    if (isAwaited() || !document.hidden) plan(Math.min(Math.max(trouble.retryAfter, READ_EVERY), READ_AT_LEAST_EVERY));
    onFailure(ticket, trouble);
  }

  function succeeded(ticket, answer) {
    // Who answers after an outage may have a stream.
    if (hasFailed) mayHaveStream();
    hasFailed = false;
    if (isAwaited() || !(document.hidden || isLive)) plan(READ_EVERY);
    onAnswer(ticket, answer);
    watch();
  }

  /** Opens the stream, unless it is open. Reading goes on until it tells something, and begins again at its end. */
  async function watch() {
    if (stream || without || document.hidden) return;
    const ending = (stream = new AbortController());
    const isThere = await follow(ids, ending, { onSign: alive, onEvent: told }).catch(() => true);
    // It was left.
    if (stream !== ending) return;
    stream = null;
    if (!isThere) without = setTimeout(mayHaveStream, LOOK_AGAIN_AFTER);
    if (!isLive) return;
    isLive = false;
    plan(Math.random() * READ_WITHIN);
  }

  function alive() {
    if (isLive) onSign();
  }

  function told(event) {
    const isFirst = !isLive;
    isLive = true;
    if (!isAwaited()) clearTimeout(next);
    onEvent(event, isFirst);
  }

  function leave() {
    stream?.abort();
    stream = null;
    isLive = false;
  }

  function mayHaveStream() {
    clearTimeout(without);
    without = 0;
  }

  /** As at first: there may be a stream now where there was none, and one that seems open may be dead. */
  function arrive() {
    leave();
    mayHaveStream();
    read();
  }

  function hide() {
    // Browsers allow six connections to a host, over all tabs.
    leave();
    if (!isAwaited()) clearTimeout(next);
  }

  return {
    begin() {
      document.addEventListener("visibilitychange", () => (document.hidden ? hide() : arrive()));
      addEventListener("online", arrive);
      addEventListener("offline", arrive);
      // Back from the browser's memory of pages.
      addEventListener("pageshow", ({ persisted }) => persisted && arrive());
      read();
    },

    /** Not at the next turn, but now. Many votes that fail together have one read. */
    check() {
      if (underWay === 0) read();
    },
  };
}
