// The current totals: what an answer means for them. They are moved at once by this page's own votes, and recalled from before a
// reload when they cannot be read.

import { savedCounted, savedTotals, saveTotals, saveTotalsSoon } from "./memory.js";
import { ordered } from "./order.js";
import { reading } from "./reading.js";

/**
 * An event may be older than the answer to a vote that came before it, but hardly by more: an app server reads for 2.4 s at most.
 */
const SETTLED_AFTER = 5_000;
/** A stream in which nothing changes gives a sign of life every 15 s. */
const OLD_AFTER = 20_000;
/** Shorter, and the pace would jump; longer, and it would lag. */
const PACE_OVER = 10_000;

/**
 * @typedef {object} Totals
 * @property {Map<string, number> | null} counts null while there are none to show
 * @property {number} asOf when they were last read, in milliseconds since 1970
 * @property {boolean} isOld whether they may have changed since then
 * @property {number} pace votes per second, from all visitors
 * @property {import("./api.js").Trouble | null} trouble why they cannot be read now
 * @property {import("./api.js").Host} [host] the app server that they were read from just now, or of which the stream says something new
 */

/**
 * @param {string[]} ids
 * @param {object} to
 * @param {(totals: Totals) => void} to.onChange
 * @param {(views: number | null, isDown: boolean) => void} to.onViews what the stream tells of the page views
 * @param {() => boolean} to.isAwaited whether to read also beside the stream, or on a hidden page
 */
export function currentTotals(ids, { onChange, onViews, isAwaited }) {
  const order = ordered();
  const pace = currentPace(() => tell());
  const reader = reading(ids, { isAwaited, onBegin: order.readBegins, onAnswer, onFailure, onEvent, onSign });
  let asOf = 0;
  let trouble = null;
  /** The counts of the newest answer. */
  let newest = new Map();
  /** The host of the newest event. */
  let teller = null;
  /** Runs until the totals are old. */
  let ageing = 0;
  /** Runs while an event may be older than the last vote's answer. */
  let settling = 0;

  function tell(host) {
    const isOld = trouble !== null || Date.now() - asOf >= OLD_AFTER;
    onChange({ counts: order.counts, asOf, isOld, pace: pace.perSecond, trouble, host });
  }

  function onAnswer(ticket, { counts, host }) {
    if (order.readEnds(ticket)) take(ticket, counts);
    // Also if an event has overtaken it: votes may wait for an app server that works.
    tell(host);
  }

  function onFailure(ticket, error) {
    if (order.readEnds(ticket)) miss(error);
  }

  /** @param {import("./stream.js").Event} event */
  function onEvent(event, isFirst) {
    onViews(event.views, event.viewsDown);
    // A read that is under way began before.
    const ticket = order.readBegins();
    order.readEnds(ticket);
    if (event.trouble) return miss(event.trouble);
    const isNew = isFirst || trouble !== null || event.host !== teller;
    teller = event.host;
    take(settling ? 0 : ticket, event.counts);
    tell(isNew ? event.host : undefined);
  }

  function onSign() {
    if (trouble) return;
    const wasOld = Date.now() - asOf >= OLD_AFTER;
    hold();
    if (wasOld) tell();
  }

  /** The totals are what they are now. */
  function hold() {
    asOf = Date.now();
    saveTotalsSoon(order.counts, asOf);
    clearTimeout(ageing);
    ageing = setTimeout(tell, OLD_AFTER);
  }

  /** @param {number} ticket 0 if the counts may be older than a vote's answer */
  function take(ticket, counts) {
    order.readAnswers(ticket, counts);
    newest = counts;
    trouble = null;
    pace.add(sum(counts));
    hold();
  }

  function miss(error) {
    trouble = error;
    pace.forget();
    const saved = order.counts ? null : savedTotals(ids);
    if (saved) {
      order.remember(saved.counts);
      asOf = saved.asOf;
    }
    tell();
  }

  /** @param {number} pause in which events only raise counts */
  function settleAfter(pause) {
    clearTimeout(settling);
    settling = pause > 0 ? setTimeout(settle, Math.min(pause, SETTLED_AFTER)) : 0;
  }

  /** What the last event did not confirm may be gone, and without a change there is no other event. */
  function settle() {
    settling = 0;
    if (order.counts && ids.some((id) => order.counts.get(id) !== newest.get(id))) reader.check();
  }

  return {
    begin() {
      // A reload forgets which vote was the last, and not what the visitor was told of it.
      settleAfter(Math.max(0, ...savedCounted().values()) + SETTLED_AFTER - Date.now());
      reader.begin();
    },

    check: reader.check,

    /**
     * The answer to a vote moves the totals. Without it, the vote would show at the next read only.
     * @param {string} id
     * @param {number} count
     */
    voteCounted(id, count) {
      order.voteAnswers(id, count);
      settleAfter(SETTLED_AFTER);
      // A reload must not take back what the visitor was told.
      if (order.counts) saveTotals(order.counts, asOf);
      tell();
      // It seems that the app server is there again.
      if (trouble) reader.check();
    },
  };
}

/**
 * @param {() => void} onRest nothing moves any more: the stream tells of changes alone
 */
function currentPace(onRest) {
  /** @type {{at: number, total: number}[]} the newest last */
  let reads = [];
  let idle = 0;

  function forget() {
    clearTimeout(idle);
    reads = [];
  }

  return {
    forget,

    add(total) {
      const now = Date.now();
      reads = [...reads.filter(({ at }) => now - at <= PACE_OVER), { at: now, total }];
      clearTimeout(idle);
      idle = setTimeout(() => {
        forget();
        onRest();
      }, PACE_OVER);
    },

    get perSecond() {
      if (reads.length < 2) return 0;
      const [first, last] = [reads[0], reads[reads.length - 1]];
      return Math.max(0, (1000 * (last.total - first.total)) / Math.max(1, last.at - first.at));
    },
  };
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
