// The current totals. Nothing else knows where they come from: they are read every few seconds while the page is visible,
// moved at once by this page's own votes, and recalled from before a reload when they cannot be read.

import { getVotes } from "./api.js";
import { savedTotals, saveTotals } from "./memory.js";
import { ordered } from "./order.js";

/** Other people vote, too. */
const READ_EVERY = 3_000;
/** However long a server asks to be left alone, the page is back soon after the server is. */
const READ_AT_LEAST_EVERY = 10_000;
/** Shorter, and the pace would jump; longer, and it would lag. */
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
 * @param {() => boolean} to.isAwaited whether there is a reason to read while the page is hidden
 */
export function currentTotals(ids, { onChange, isAwaited }) {
  const order = ordered();
  /** @type {{at: number, total: number}[]} */
  let reads = [];
  let asOf = 0;
  let trouble = null;
  let nextRead = 0;
  let underWay = 0;

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
    if (!document.hidden || isAwaited()) nextRead = setTimeout(read, pause);
    if (!order.readEnds(ticket)) return;
    if (failed) missed(answer);
    else took(ticket, answer);
  }

  function took(ticket, { counts, host }) {
    order.readAnswers(ticket, counts);
    asOf = Date.now();
    trouble = null;
    reads = [...reads.filter(({ at }) => asOf - at <= PACE_OVER), { at: asOf, total: sum(counts) }];
    saveTotals(order.counts, asOf);
    tell(host);
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

  /** Not at the next turn, but now. Many votes that fail together have one read. */
  function check() {
    if (underWay === 0) read();
  }

  return {
    begin() {
      document.addEventListener("visibilitychange", () => {
        if (!document.hidden) read();
        else if (!isAwaited()) clearTimeout(nextRead);
      });
      addEventListener("online", read);
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
      // A reload must not take back what the visitor was told.
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

/** @param {Map<string, number>} counts */
function sum(counts) {
  return [...counts.values()].reduce((total, count) => total + count, 0);
}
