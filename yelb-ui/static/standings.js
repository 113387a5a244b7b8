// The totals: read every few seconds while somebody is looking, moved at once by this page's own votes, and marked as
// old when they cannot be read.

import { getVotes } from "./api.js";
import { Chart } from "./chart.js";
import { savedTotals, saveTotals } from "./memory.js";
import { Totals } from "./totals.js";
import { duration, reason } from "./words.js";

/** Other people vote, too. */
const READ_EVERY = 3_000;
/** However long a server asks to be left alone, the page is back soon after the server is. */
const READ_AT_LEAST_EVERY = 10_000;

const OLD_TOTALS = "The totals are out of date.";
const NO_TOTALS = "No totals yet.";

export class Standings {
  #root;
  #notice;
  #chart;
  #totals = new Totals();
  #announce;
  #onRecovery;
  /** When the totals were last read, in milliseconds since 1970. */
  #asOf = 0;
  /** @type {import("./api.js").Trouble | null} why they cannot be read now */
  #trouble = null;
  #nextRead = 0;
  #ageing = 0;

  /**
   * @param {HTMLElement} root
   * @param {{announce: (sentence: string) => void, onRecovery: () => void}} to
   */
  constructor(root, { announce, onRecovery }) {
    this.#root = root;
    this.#notice = root.querySelector(".standings__notice");
    this.#chart = new Chart(root);
    this.#announce = announce;
    this.#onRecovery = onRecovery;
  }

  begin() {
    document.addEventListener("visibilitychange", () => {
      if (document.hidden) clearTimeout(this.#nextRead);
      else this.#read();
    });
    this.#read();
  }

  /**
   * The answer to a vote moves the chart. Who waited for the next read would see the vote late.
   * @param {string} id
   * @param {number} count
   */
  voteCounted(id, count) {
    this.#totals.voteAnswers(id, count);
    this.#draw();
    // It seems that the app server is there again.
    if (this.#trouble) this.#read();
  }

  async #read() {
    clearTimeout(this.#nextRead);
    const ticket = this.#totals.readBegins();
    let pause = READ_EVERY;
    try {
      const counts = await getVotes(this.#chart.ids);
      if (this.#totals.readEnds(ticket)) this.#answered(ticket, counts);
    } catch (trouble) {
      if (this.#totals.readEnds(ticket)) this.#failed(trouble);
      pause = Math.min(Math.max(trouble.retryAfter, READ_EVERY), READ_AT_LEAST_EVERY);
    }
    clearTimeout(this.#nextRead);
    if (!document.hidden) this.#nextRead = setTimeout(() => this.#read(), pause);
  }

  /**
   * @param {number} ticket
   * @param {Map<string, number>} counts
   */
  #answered(ticket, counts) {
    this.#totals.readAnswers(ticket, counts);
    this.#asOf = Date.now();
    saveTotals(this.#totals.counts, this.#asOf);
    this.#draw();
    if (this.#trouble) this.#recovered();
  }

  /** @param {import("./api.js").Trouble} trouble */
  #failed(trouble) {
    const known = this.#trouble?.cause === trouble.cause;
    this.#trouble = trouble;
    if (!this.#totals.counts) this.#recall();
    this.#draw();
    clearInterval(this.#ageing);
    this.#ageing = setInterval(() => this.#explain(), 1_000);
    if (!known) this.#announce(`${this.#totals.counts ? OLD_TOTALS : NO_TOTALS} ${this.#reason()}`);
  }

  #recovered() {
    this.#trouble = null;
    clearInterval(this.#ageing);
    this.#draw();
    this.#announce("The totals are up to date again.");
    this.#onRecovery();
  }

  /** Takes up the totals of the visit before a reload. */
  #recall() {
    const saved = savedTotals(this.#chart.ids);
    if (!saved) return;
    this.#totals.remember(saved.counts);
    this.#asOf = saved.asOf;
  }

  #draw() {
    const { counts } = this.#totals;
    if (counts) this.#chart.show(counts);
    this.#root.dataset.state = this.#trouble ? "stale" : counts ? "fresh" : "waiting";
    this.#explain();
  }

  /** Not a live region: the age changes every second, the announcement is made once. */
  #explain() {
    this.#notice.hidden = !this.#trouble;
    if (!this.#trouble) return;
    const age = this.#totals.counts ? `These totals are ${duration(Date.now() - this.#asOf)} old.` : NO_TOTALS;
    this.#notice.textContent = `${age} ${this.#reason()} This page keeps trying.`;
  }

  #reason() {
    return reason(this.#trouble, "vote store");
  }
}
