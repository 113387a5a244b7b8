// The page as a visitor sees it.

import { number } from "../../../static/words.js";

export const RESTAURANTS = {
  ihop: "IHOP",
  chipotle: "Chipotle",
  outback: "Outback",
  bucadibeppo: "Buca di Beppo",
};

/** What the root says, for each of the three kinds of totals. */
const STATES = { waiting: ["waiting"], fresh: ["live", "zero"], stale: ["down"] };

/**
 * A failed answer of the kind that the servers give.
 * @param {number} status
 * @param {string} title
 * @param {Record<string, string>} [headers]
 */
export function problem(status, title, headers = {}) {
  return {
    status,
    contentType: "application/problem+json",
    headers: { "Retry-After": "1", ...headers },
    body: JSON.stringify({ type: "about:blank", title, status, detail: title }),
  };
}

/** A failure that our app server tells itself. */
export function storeDown() {
  return problem(503, "store down", { "Yelb-Host": "app-1" });
}

/**
 * The app server's answers as the original's would give them: without its name.
 * @param {import("playwright-core").Page} page
 */
export async function withoutName(page) {
  await page.route("**/api/**", async (route) => {
    // The original has no stream, and this one has no end that could be waited for.
    if (route.request().url().endsWith("/api/stream")) return route.fulfill({ status: 204 });
    const response = await route.fetch();
    const { "yelb-host": _, ...headers } = response.headers();
    await route.fulfill({ response, headers });
  });
}

/**
 * From now on, these are the totals of an app server that keeps keys.
 * @param {import("playwright-core").Page} page
 * @param {Record<string, number>} votes
 */
export function serves(page, votes) {
  const json = Object.entries(votes).map(([name, value]) => ({ name, value }));
  return page.route("**/api/getvotes", (route) => route.fulfill({ json, headers: { "Yelb-Host": "app-1" } }));
}

/**
 * Whether the first row of the result moves smoothly when its count becomes this one. Looked at in the same moment, because the
 * count may be drawn once before: to ask for animations brings the styles up to date.
 * @param {import("playwright-core").Page} page
 * @param {number} count
 * @returns {Promise<boolean>}
 */
export function glidesAt(page, count) {
  return page.evaluate(
    (text) =>
      new Promise((resolve) => {
        const shown = document.querySelector(".row__count");
        const look = () => shown.textContent === text && resolve(document.querySelector(".row").getAnimations().length > 0);
        new MutationObserver(look).observe(shown, { childList: true });
      }),
    String(count),
  );
}

export class YelbPage {
  /** @param {import("playwright-core").Page} page */
  constructor(page) {
    this.page = page;
    this.notice = page.locator("#banner");
    this.announcement = page.getByRole("status");
    this.pageViews = page.locator("#page-views");
    this.appServer = page.locator("#app-server");
    this.note = page.locator("#note");
  }

  button(id) {
    return this.page.getByRole("button", { name: `Vote for ${RESTAURANTS[id]}`, exact: true });
  }

  card(id) {
    return this.page.locator(`.ballot[data-restaurant="${id}"]`);
  }

  outcome(id) {
    return this.card(id).locator(".outcome");
  }

  sendAgain(id) {
    return this.page.getByRole("button", { name: `Send again for ${RESTAURANTS[id]}`, exact: true });
  }

  /** @param {"waiting" | "fresh" | "stale"} state */
  async untilTotalsAre(state) {
    await this.page.locator(STATES[state].map((it) => `html[data-state="${it}"]`).join()).waitFor({ state: "attached" });
  }

  /** @param {import("playwright-core").Locator} locator */
  async untilSays(locator, text) {
    await locator.filter({ hasText: text }).waitFor({ state: "attached" });
  }

  /**
   * Long enough for everything that the page does every few seconds, and shorter than it waits for an answer: a request that is
   * under way when time jumps must not be given up.
   */
  async timePasses() {
    await this.page.clock.runFor(9_000);
  }

  /** Until the totals have been read once more. */
  async nextRead() {
    const read = this.page.waitForEvent("requestfinished", (request) => request.url().endsWith("/api/getvotes"));
    await Promise.all([read, this.timePasses()]);
  }

  /** All that the result says, numbers as numbers. */
  async chart() {
    return this.page.evaluate(() => {
      const text = (element) => element.textContent.trim();
      const rows = [...document.querySelectorAll(".row")].map((row) => {
        const id = row.dataset.restaurant;
        const segment = document.querySelector(`.donut__segment[data-restaurant="${id}"]`);
        return [
          id,
          {
            count: Number(text(row.querySelector(".row__count")).replaceAll(",", "")),
            share: text(row.querySelector(".row__share")),
            onCard: text(document.querySelector(`.ballot[data-restaurant="${id}"] .ballot__count`)),
            segment: parseFloat(segment.getAttribute("stroke-dasharray")),
          },
        ];
      });
      return {
        total: Number(text(document.querySelector(".donut__total")).replaceAll(",", "")),
        inWords: document.querySelector(".donut").getAttribute("aria-label"),
        ...Object.fromEntries(rows),
      };
    });
  }

  /** The names of the bars from top to bottom, once they have come to rest. */
  async ranking() {
    return this.page.evaluate(async () => {
      await Promise.all(document.getAnimations().map((animation) => animation.finished.catch(() => {})));
      const top = (row) => row.getBoundingClientRect().top;
      const rows = [...document.querySelectorAll(".row")].sort((one, other) => top(one) - top(other));
      return rows.map((row) => row.dataset.restaurant);
    });
  }

  /** Until the chart shows this count. */
  async untilCounted(id, count) {
    const shown = new RegExp(`^${number(count).replace(".", "\\.")}$`);
    await this.untilSays(this.page.locator(`.row[data-restaurant="${id}"] .row__count`), shown);
  }

  async countedPageViews() {
    const value = this.pageViews.filter({ hasText: /\d/ });
    return parseInt((await value.textContent()).replaceAll(",", ""), 10);
  }
}
