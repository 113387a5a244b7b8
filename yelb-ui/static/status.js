// The slot below the bar: the welcome, or the banner of an outage and of its end; and whether the totals are live.

import { outageBanner } from "./outage.js";
import { stateOf } from "./totals.js";
import { age, clock, down, votes } from "./words.js";

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
  const [welcome, live, note] = ["#welcome", "#live", "#note"].map((id) => document.querySelector(id));
  const asOfWord = document.querySelector(".live__as-of");
  /** @type {Situation} */
  let now;
  /** How many votes waited when the last outage ended. */
  let waited = 0;

  const banner = outageBanner(document.querySelector("#banner"), {
    announce,
    during: () => promise(now.own),
    after: () => afterwards(now.own, waited),
    otherwise() {
      const { unsure } = now.own;
      return unsure === 0 ? null : { kind: "unsure", what: `${votes(unsure)} not confirmed`, then: doubt(unsure) };
    },
    onEnd: () => (waited = now.own.waiting),
    onDraw(face) {
      // Screen readers keep the page's heading.
      welcome.classList.toggle("visually-hidden", face !== null);
      drawTotals();
    },
  });

  function drawTotals() {
    const { counts, asOf, pace } = now.totals;
    const state = stateOf(now.totals);
    document.documentElement.dataset.state = state;
    live.textContent = { waiting: "Waiting", zero: "Live", live: "Live", down: counts ? clock(asOf) : "No totals yet" }[state];
    asOfWord.textContent = state === "down" && counts ? "As of " : "";
    note.textContent = {
      waiting: "",
      zero: "waiting for the first vote",
      live: paceInWords(pace),
      down: counts ? `as of ${clock(asOf)}, ${age(Date.now() - asOf)} old` : "no totals yet",
    }[state];
    welcome.querySelector("h1").textContent = state === "zero" ? NO_VOTES_YET : WELCOME;
  }

  return {
    /** @param {Situation} situation */
    update(situation) {
      now = situation;
      const { totals, votesTrouble } = now;
      const title = totals.trouble ? down(totals.trouble, "Database") : votesTrouble ? "Votes not counted" : null;
      banner.update(title, totals.counts !== null);
    },

    /** Whether votes are kept for later now. */
    get keeps() {
      return banner.isOn && now.own.keepsKeys !== false;
    },
  };
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
