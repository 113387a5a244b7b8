// The banner about an outage or its end. On the page, it replaces the welcome text below the header.

import { saveOutage, savedOutage } from "./memory.js";
import { stateOf } from "./totals.js";
import { age, clock, down, stopwatch, votes } from "./words.js";

/** How long the end of an outage is shown. */
const SHOW_BACK = 20_000;

const WELCOME = "Welcome to Yelb, where lunch is put to the vote";
const NO_VOTES_YET = "No votes yet. Yours decides lunch.";

/**
 * @typedef {object} Situation
 * @property {import("./totals.js").Totals} totals
 * @property {import("./api.js").Trouble | null} votesTrouble why votes are not confirmed although the totals can be read
 * @property {ReturnType<typeof import("./voting.js").voting>} own
 */

/** @param {(sentence: string) => void} announce */
export function status(announce) {
  const welcome = document.querySelector("#welcome");
  /** @type {Situation} */
  let now;
  /** How many votes waited in the last outage. */
  let waited = 0;

  const banner = outageBanner(document.querySelector("#banner"), {
    announce,
    during: () => promise(now.own),
    after: () => afterwards(now.own, waited),
    otherwise() {
      const { unsure } = now.own;
      return unsure === 0 ? null : { kind: "unsure", what: `${votes(unsure)} not confirmed`, then: doubt(unsure) };
    },
    onDraw(face) {
      // Screen readers keep the page's heading.
      welcome.classList.toggle("visually-hidden", face !== null);
      const state = drawState(now.totals);
      welcome.querySelector("h1").textContent = state === "zero" ? NO_VOTES_YET : WELCOME;
    },
  });

  return {
    /** @param {Situation} situation */
    update(situation) {
      now = situation;
      const { totals, votesTrouble, own } = now;
      // Those that waited may have been counted in another tab.
      const areCounted = !votesTrouble || own.waiting === 0;
      const title = totals.trouble ? down(totals.trouble, "Database") : areCounted ? null : "Votes not counted";
      if (title) waited = banner.isOn ? Math.max(waited, own.waiting) : own.waiting;
      banner.update(title, totals.counts !== null);
    },

    /** Whether votes are kept for later now. */
    get keeps() {
      return banner.isOn && now.own.keepsKeys !== false;
    },
  };
}

/** @param {import("./totals.js").Totals} totals */
function drawState(totals) {
  const { counts, asOf, isOld, pace } = totals;
  const [asOfWord, live, note] = [".live__as-of", "#live", "#note"].map((part) => document.querySelector(part));
  const state = stateOf(totals);
  const since = counts && isOld ? clock(asOf) : null;
  document.documentElement.dataset.state = state;
  asOfWord.textContent = since ? "As of " : "";
  live.textContent = since ?? { waiting: "Waiting", zero: "Live", live: "Live", down: "No totals yet" }[state];
  note.textContent = {
    waiting: "",
    zero: "waiting for the first vote",
    live: paceInWords(pace),
    down: since ? `as of ${since}, ${age(Date.now() - asOf)} old` : "no totals yet",
  }[state];
  return state;
}

/** @typedef {{kind: "down" | "back" | "unsure", what: string, then: string}} Face what the banner shows */

/**
 * @param {HTMLElement} banner
 * @param {object} to `during` and `after` say what becomes of votes; of several lines the first is announced
 */
export function outageBanner(banner, { announce, during, after, otherwise, onDraw }) {
  const outage = outageTimer(draw);
  /** The last sentence about an outage and its end: changes are announced, not the seconds. */
  let said = "";

  /** @returns {Face | null} */
  function face() {
    const { down, back } = outage;
    if (down) return { kind: "down", what: `${down.title} for ${stopwatch(down.lasts)}`, then: during() };
    if (back !== null) return { kind: "back", what: `Back after ${stopwatch(back)}`, then: after() };
    return otherwise();
  }

  function announceChange() {
    const shown = face();
    const [then] = shown?.then.split("\n") ?? [];
    const about = shown ? `${outage.down?.title ?? shown.what}. ${then}` : "";
    if (about !== "" && about !== said) announce(about);
    said = about;
  }

  function draw() {
    const shown = face();
    banner.hidden = shown === null;
    if (shown) fill(banner, shown);
    onDraw(shown);
  }

  return {
    /**
     * @param {string | null} title what is down
     * @param {boolean} isKnown whether it is known that nothing is
     */
    update(title, isKnown) {
      if (title) outage.begin(title);
      else if (outage.down) outage.end();
      // One that was over before a reload.
      else if (isKnown) saveOutage(null);
      draw();
      announceChange();
    },

    get isOn() {
      return outage.down !== null;
    },
  };
}

/**
 * How long an outage lasts, through a reload.
 * @param {() => void} onTick each second of it, and when its end is shown no longer
 */
function outageTimer(onTick) {
  /** @type {{title: string, since: number} | null} */
  let outage = null;
  /** @type {{after: number, until: number} | null} the end of the last outage */
  let back = null;
  let ticking = 0;

  return {
    get down() {
      return outage && { title: outage.title, lasts: Date.now() - outage.since };
    },

    /** @returns {number | null} how long the outage lasted that has just ended */
    get back() {
      return back && Date.now() < back.until ? back.after : null;
    },

    /** @param {string} title which may change during an outage */
    begin(title) {
      if (title === outage?.title) return;
      outage = { title, since: outage?.since ?? savedOutage() ?? Date.now() };
      back = null;
      saveOutage(outage.since);
      clearInterval(ticking);
      ticking = setInterval(onTick, 1_000);
    },

    end() {
      back = { after: Date.now() - outage.since, until: Date.now() + SHOW_BACK };
      outage = null;
      saveOutage(null);
      clearInterval(ticking);
      setTimeout(onTick, SHOW_BACK);
    },
  };
}

function fill(banner, { kind, what, then }) {
  const words = banner.querySelector(".banner__words");
  if (banner.dataset.kind !== kind || words.lastElementChild.textContent !== then) {
    // Other words are other elements, so that nothing that is read moves.
    const others = words.cloneNode(true);
    others.lastElementChild.textContent = then;
    words.replaceWith(others);
  }
  banner.dataset.kind = kind;
  banner.style.setProperty("--characters", `${what.length}`);
  banner.querySelector(".banner__what").textContent = what;
}

/** What happens to votes during an outage. */
function promise({ keepsKeys, survives }) {
  if (keepsKeys === false) return "A vote may not be counted now, and is not sent again by itself.";
  if (!survives) return "Keep voting, and leave this page open: votes are sent again.";
  return keepsKeys
    ? "Keep voting: this browser keeps votes for a day and sends them again."
    : "Votes are kept in this browser until an app server answers.";
}

/** What has become of them after it. */
function afterwards({ waiting, unsure }, waited) {
  if (unsure > 0) return `Votes count again. ${votes(unsure)} may not have been counted.`;
  if (waiting > 0) return `Votes count again. Sending ${votes(waiting)} that waited.`;
  if (waited === 0) return "Votes count again.";
  return `Votes count again. Your ${waited} waiting ${waited === 1 ? "vote is" : "votes are"} counted, too.`;
}

/** What is to be known before a vote is sent again to an app server that may count it twice. */
function doubt(unsure) {
  return unsure === 1
    ? "It may not have been counted. Sent again, it may count twice."
    : "They may not have been counted. Sent again, they may count twice.";
}

function paceInWords(pace) {
  const rounded = Math.round(pace);
  return rounded < 1 ? "" : `${votes(rounded)} a second`;
}
