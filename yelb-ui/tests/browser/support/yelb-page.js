// The page as a visitor sees it.

export const RESTAURANTS = {
  ihop: "IHOP",
  chipotle: "Chipotle",
  outback: "Outback",
  bucadibeppo: "Buca di Beppo",
};

/** A failed answer of the kind that the servers give. */
export function problem(status, title) {
  return {
    status,
    contentType: "application/problem+json",
    headers: { "Retry-After": "1" },
    body: JSON.stringify({ type: "about:blank", title, status, detail: title }),
  };
}

export class YelbPage {
  /** @param {import("playwright-core").Page} page */
  constructor(page) {
    this.page = page;
    this.notice = page.locator(".standings__notice");
    this.announcement = page.getByRole("status");
    this.pageViews = page.locator("#page-views");
    this.appServer = page.locator("#app-server");
  }

  button(id) {
    return this.page.getByRole("button", { name: `Vote for ${RESTAURANTS[id]}`, exact: true });
  }

  outcome(id) {
    return this.page.locator(`.ballot[data-restaurant="${id}"] .outcome`);
  }

  /** @param {"waiting" | "fresh" | "stale"} state */
  async untilTotalsAre(state) {
    await this.page.locator(`.standings[data-state="${state}"]`).waitFor();
  }

  /** @param {import("playwright-core").Locator} locator */
  async untilSays(locator, text) {
    await locator.filter({ hasText: text }).waitFor({ state: "attached" });
  }

  /** Long enough for everything that the page does every few seconds. */
  async timePasses() {
    await this.page.clock.runFor(10_000);
  }

  /** Until the totals have been read once more. */
  async nextRead() {
    const read = this.page.waitForEvent("requestfinished", (request) => request.url().endsWith("/api/getvotes"));
    await Promise.all([read, this.timePasses()]);
  }

  /** All that the chart says, numbers as numbers. */
  async chart() {
    return this.page.evaluate(() => {
      const text = (element) => element.textContent.trim();
      const columns = [...document.querySelectorAll(".column")].map((column) => {
        const id = column.dataset.restaurant;
        const segment = document.querySelector(`.donut__segment[data-restaurant="${id}"]`);
        return [
          id,
          {
            count: Number(text(column.querySelector(".column__count")).replaceAll(",", "")),
            share: text(column.querySelector(".column__share")),
            segment: parseFloat(segment.getAttribute("stroke-dasharray")),
          },
        ];
      });
      return {
        total: Number(text(document.querySelector(".total__count")).replaceAll(",", "")),
        inWords: document.querySelector(".donut").getAttribute("aria-label"),
        ...Object.fromEntries(columns),
      };
    });
  }

  /** Until the chart shows this count. */
  async untilCounted(id, count) {
    await this.untilSays(
      this.page.locator(`.column[data-restaurant="${id}"] .column__count`),
      new RegExp(`^${count.toLocaleString("en")}$`),
    );
  }

  async countedPageViews() {
    const value = this.pageViews.locator(".fact__value").filter({ hasText: /\d/ });
    return Number((await value.textContent()).replaceAll(",", ""));
  }
}
