// The current totals. While the page is visible, they come from the live stream. If there is no stream, this module reads them
// every few seconds. The answers to this page's own votes change them at once. If they cannot be read after a reload, the
// stored ones are shown. Other modules do not know the source.

import { getVotes } from "./api.js";
import { savedTotals, saveTotals } from "./memory.js";
import { ordered } from "./order.js";
import { follow } from "./stream.js";

/** Other people vote, too. */
const READ_EVERY = 3_000;
/** The longest pause between reads, also if `Retry-After` asks for a longer one. So the page soon notices that a server is back. */
const READ_AT_LEAST_EVERY = 10_000;
/** The read after a stream has ended waits up to this time, at random, so that not all pages read at the same moment. */
const ASK_WITHIN = 1_000;
/** After the answer to a vote, events may be older than this answer for up to this time. */
const SETTLED_AFTER = 2_000;
/** The pace is a mean over this time. A shorter time would make it jump, a longer one would make it late. */
const PACE_OVER = 10_000;

/**
 * @typedef {object} Totals
 * @property {Map<string, number> | null} counts null while there are none to show
 * @property {number} asOf when they were last read, in milliseconds since 1970
 * @property {number} pace votes per second, from all visitors
 * @property {import("./api.js").Trouble | null} trouble why they cannot be read now
 * @property {import("./api.js").Host} [host] the app server that they were read from just now, if that is what changed
 */

/**
 * @param {string[]} ids
 * @param {object} to
 * @param {(totals: Totals) => void} to.onChange
 * @param {(views: number | null, isDown: boolean) => void} to.onViews what the stream tells of the page views
 * @param {() => boolean} to.isAwaited whether there is a reason to read although the stream tells all, or the page is hidden
 */
export function currentTotals(ids, { onChange, onViews, isAwaited }) {
  const order = ordered();
  /** @type {{at: number, total: number}[]} */
  let reads = [];
  let asOf = 0;
  let trouble = null;
  let nextRead = 0;
  let underWay = 0;
  /** @type {AbortController | null} ends the stream that is open */
  let stream = null;
  /** Whether the stream has sent an event. */
  let isLive = false;
  let hasStream = true;
  let lastHost = null;
  let lastVote = 0;
  let idle = 0;

  function tell(host) {
    onChange({ counts: order.counts, asOf, pace: pace(reads), trouble, host });
  }

  async function read() {
    clearTimeout(nextRead);
    const ticket = order.readBegins();
    let pause = READ_EVERY;
    underWay += 1;
    const answer = await getVotes(ids).catch((error) => error);
    underWay -= 1;
    const failed = answer instanceof Error;
    if (failed) pause = Math.min(Math.max(answer.retryAfter, READ_EVERY), READ_AT_LEAST_EVERY);
    clearTimeout(nextRead);
    if (isAwaited() || (!document.hidden && (failed || !isLive))) nextRead = setTimeout(read, pause);
    if (!order.readEnds(ticket)) return;
    if (failed) missed(answer);
    else took(ticket, answer);
    if (!failed) watch();
  }

  /** Opens the stream, unless it is open. Reading every few seconds goes on until it tells something, and begins again at its end. */
  async function watch() {
    if (stream || !hasStream || document.hidden) return;
    const ending = (stream = new AbortController());
    hasStream = await follow(ids, ending, { onSign, onEvent }).catch(() => true);
    if (stream !== ending) return;
    stream = null;
    if (!isLive) return;
    isLive = false;
    clearTimeout(nextRead);
    nextRead = setTimeout(read, Math.random() * ASK_WITHIN);
  }

  function leave() {
    stream?.abort();
    stream = null;
    isLive = false;
  }

  function onSign() {
    if (!trouble) asOf = Date.now();
  }

  /** @param {import("./stream.js").Event} event */
  function onEvent(event) {
    if (!isLive && !isAwaited()) clearTimeout(nextRead);
    isLive = true;
    onViews(event.views, event.viewsDown);
    // A read that is under way began before.
    const now = order.readBegins();
    order.readEnds(now);
    if (event.trouble) missed(event.trouble);
    else took(Date.now() - lastVote < SETTLED_AFTER ? 0 : now, event);
  }

  /** @param {number} ticket 0 if it may be older than a vote's answer */
  function took(ticket, { counts, host }) {
    // The host is reported only when it has changed, and not at each event.
    const isNews = !isLive || trouble !== null || host !== lastHost;
    if (trouble) hasStream = true;
    lastHost = host;
    order.readAnswers(ticket, counts);
    asOf = Date.now();
    trouble = null;
    clearTimeout(idle);
    if (isLive) idle = setTimeout(rest, PACE_OVER);
    reads = [...reads.filter(({ at }) => asOf - at <= PACE_OVER), { at: asOf, total: sum(counts) }];
    saveTotals(order.counts, asOf);
    tell(isNews ? host : undefined);
  }

  /** The stream sends events only for changes. Without an event, the pace becomes 0. */
  function rest() {
    reads = [];
    if (!trouble) tell();
  }

  function missed(error) {
    trouble = error;
    reads = [];
    const saved = order.counts ? null : savedTotals(ids);
    if (saved) {
      order.remember(saved.counts);
      asOf = saved.asOf;
    }
    tell();
  }

  /** As at first: there may be a stream now where there was none, and one that seems open may be dead. */
  function arrive() {
    leave();
    hasStream = true;
    read();
  }

  /** Not at the next turn, but now. Many votes that fail together have one read. */
  function check() {
    if (underWay === 0) read();
  }

  return {
    begin() {
      document.addEventListener("visibilitychange", () => {
        if (!document.hidden) return arrive();
        // Browsers allow six connections to a host, over all tabs.
        leave();
        if (!isAwaited()) clearTimeout(nextRead);
      });
      addEventListener("online", arrive);
      addEventListener("offline", arrive);
      read();
    },

    check,

    /**
     * The answer to a vote moves the totals. Without it, the vote would show at the next read only.
     * @param {string} id
     * @param {number} count
     */
    voteCounted(id, count) {
      order.voteAnswers(id, count);
      lastVote = Date.now();
      // After a reload, the page must still show this count.
      if (order.counts) saveTotals(order.counts, asOf);
      tell();
      // It seems that the app server is there again.
      if (trouble) check();
    },
  };
}

/** @param {{at: number, total: number}[]} reads the newest last */
function pace(reads) {
  if (reads.length < 2) return 0;
  const [first, last] = [reads[0], reads[reads.length - 1]];
  return Math.max(0, (1000 * (last.total - first.total)) / Math.max(1, last.at - first.at));
}

/** @param {Totals} totals */
export function stateOf({ counts, trouble }) {
  if (trouble) return "down";
  if (counts === null) return "waiting";
  return sum(counts) === 0 ? "zero" : "live";
}

/** @param {Map<string, number>} counts */
export function sum(counts) {
  return [...counts.values()].reduce((total, count) => total + count, 0);
}
