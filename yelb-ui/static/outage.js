// An outage and its end, in a banner: what is down, for how long, and what becomes of votes.

import { saveOutage, savedOutage } from "./memory.js";
import { stopwatch } from "./words.js";

/** How long the end of an outage is shown. */
const SHOW_BACK = 20_000;

/** @typedef {{kind: "down" | "back" | "unsure", what: string, then: string}} Face what the banner shows */

/**
 * @param {HTMLElement} banner
 * @param {object} to Of a text of several lines, the first one is announced.
 * @param {(sentence: string) => void} to.announce
 * @param {() => string} to.during what becomes of votes in the outage
 * @param {() => string} to.after and after it
 * @param {() => Face | null} [to.otherwise] what the banner shows when there is no outage
 * @param {() => void} [to.onBegin]
 * @param {() => void} [to.onEnd]
 * @param {(face: Face | null) => void} [to.onDraw]
 */
export function outageBanner(banner, { announce, during, after, otherwise, onBegin, onEnd, onDraw }) {
  /** @type {{title: string, since: number} | null} */
  let outage = null;
  /** @type {{after: number, until: number} | null} the end of the last outage */
  let back = null;
  let ticking = 0;
  /** The last sentence about an outage and its end: changes are announced, not the seconds. */
  let said = "";

  function begin(title) {
    if (!outage) onBegin?.();
    outage = { title, since: outage?.since ?? savedOutage() ?? Date.now() };
    back = null;
    saveOutage(outage.since);
    clearInterval(ticking);
    ticking = setInterval(draw, 1_000);
  }

  function end() {
    back = { after: Date.now() - outage.since, until: Date.now() + SHOW_BACK };
    outage = null;
    onEnd?.();
    saveOutage(null);
    setTimeout(draw, SHOW_BACK);
    clearInterval(ticking);
  }

  /** @returns {Face | null} */
  function face() {
    if (outage) {
      const lasts = stopwatch(Date.now() - outage.since);
      return { kind: "down", what: `${outage.title} for ${lasts}`, then: during() };
    }
    if (back && Date.now() < back.until) {
      return { kind: "back", what: `Back after ${stopwatch(back.after)}`, then: after() };
    }
    return otherwise?.() ?? null;
  }

  function announceChange() {
    const shown = face();
    const [then] = shown?.then.split("\n") ?? [];
    const about = outage ? `${outage.title}. ${then}` : shown ? `${shown.what}. ${then}` : "";
    if (about !== "" && about !== said) announce(about);
    said = about;
  }

  function draw() {
    const shown = face();
    banner.hidden = shown === null;
    if (shown) fill(banner, shown);
    onDraw?.(shown);
  }

  return {
    /**
     * @param {string | null} title what is down
     * @param {boolean} isKnown whether it is known that nothing is
     */
    update(title, isKnown) {
      if (title && title !== outage?.title) begin(title);
      else if (!title && outage) end();
      // One that was over before a reload.
      else if (!title && isKnown) saveOutage(null);
      draw();
      announceChange();
    },

    get isOn() {
      return outage !== null;
    },
  };
}

/** @param {Face} face */
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
