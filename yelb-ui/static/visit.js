// This visit: counted once, and answered by an app server with a name.

import { getHostname, getStats } from "./api.js";
import { number, reason } from "./words.js";

const TRY_AGAIN_AFTER = 10_000;

export class Visit {
  #pageViews;
  #appServer;

  /**
   * @param {Element} pageViews
   * @param {Element} appServer
   */
  constructor(pageViews, appServer) {
    this.#pageViews = pageViews;
    this.#appServer = appServer;
  }

  /** Asks until the visit is counted, and then never again: to ask is to count. */
  async begin() {
    try {
      const { hostname, pageviews } = await getStats();
      show(this.#pageViews, number(pageviews));
      show(this.#appServer, hostname);
    } catch (trouble) {
      showMissing(this.#pageViews, trouble);
      setTimeout(() => this.begin(), TRY_AGAIN_AFTER);
      await this.nameAppServer();
    }
  }

  /** The app server's name alone, which needs no store and counts nothing. */
  async nameAppServer() {
    try {
      show(this.#appServer, await getHostname());
    } catch (trouble) {
      showMissing(this.#appServer, trouble);
    }
  }
}

/**
 * @param {Element} fact
 * @param {string} value
 * @param {string} [why]
 */
function show(fact, value, why = "") {
  const note = fact.querySelector(".fact__reason");
  fact.querySelector(".fact__value").textContent = value;
  note.textContent = why;
  note.hidden = why === "";
}

/**
 * @param {Element} fact
 * @param {import("./api.js").Trouble} trouble
 */
function showMissing(fact, trouble) {
  show(fact, "unavailable", reason(trouble, "page-view store"));
}
