// Counts this visit once, and shows the name of the app server.

import { getHostname, getStats } from "./api.js";
import { clock, down, roughly } from "./words.js";

const TRY_AGAIN_AFTER = 10_000;

export function visit() {
  const [pageViews, name, what] = ["#page-views", "#app-server", "#answered-what"].map((id) => document.querySelector(id));
  /** Whether the visit is counted, or is being counted: to ask a second time meanwhile may count it twice. */
  let isAsked = false;
  let nextTry = 0;
  let shown = 0;

  function answered(host, to) {
    name.textContent = host;
    what.textContent = `${to} at ${clock(Date.now())}`;
  }

  /** Asks until the visit is counted, and then never again, because each successful request counts a page view. */
  async function count() {
    clearTimeout(nextTry);
    if (isAsked) return;
    isAsked = true;
    try {
      const stats = await getStats();
      showViews(stats.pageviews);
      answered(stats.name, "this page view");
    } catch (trouble) {
      isAsked = false;
      pageViews.textContent = trouble.cause === "store" ? "Page-view store down" : "Page views unavailable";
      clearTimeout(nextTry);
      nextTry = setTimeout(count, TRY_AGAIN_AFTER);
      await ask("this page");
    }
  }

  function showViews(views) {
    shown = views;
    const figure = document.createElement("span");
    figure.className = "figure";
    figure.textContent = roughly(views);
    pageViews.replaceChildren(figure, views === 1 ? " page view" : " page views");
  }

  /** The app server's name alone, which needs no store and counts nothing. */
  async function ask(to) {
    try {
      answered(await getHostname(), to);
    } catch (trouble) {
      // The one that answered last stays.
      if (what.textContent === "") what.textContent = down(trouble, "Database");
    }
  }

  return {
    begin: count,

    /**
     * @param {number | null} views of all visitors, as they are now
     * @param {boolean} isDown whether their store is down
     */
    told(views, isDown) {
      if (isDown) pageViews.textContent = "Page-view store down";
      // Not less than this visit's own number, which may be newer.
      else if (views !== null) showViews(Math.max(views, shown));
    },

    /** @param {import("./api.js").Host} host null from the original's app server, which is asked instead */
    voted(host) {
      if (host) answered(host, "your vote");
    },

    /** What answers after an outage may be another app server. */
    recovered(host) {
      if (host) answered(host, "this page");
      else ask("this page");
      count();
    },
  };
}
