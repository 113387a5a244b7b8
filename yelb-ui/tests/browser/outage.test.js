// A visit when something is missing.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { newVisitor, startBrowser } from "./support/browser.js";
import { startPair } from "./support/servers.js";
import { problem, YelbPage } from "./support/yelb-page.js";

let yelb, browser;

before(async () => {
  [yelb, browser] = await Promise.all([startPair(), startBrowser()]);
});

after(async () => {
  await browser?.close();
  await yelb?.stop();
});

/** @param {string} id */
async function counted(id) {
  const rows = await (await fetch(`${yelb.url}/api/getvotes`)).json();
  return rows.find((row) => row.name === id).value;
}

/** @param {(page: import("playwright-core").Page) => Promise<void>} [prepare] */
async function visit(prepare = async () => {}) {
  const page = await newVisitor(browser);
  await prepare(page);
  await page.goto(yelb.url);
  return { page, shown: new YelbPage(page) };
}

test("the app server goes: the totals stay, marked as old, and come back by themselves", async () => {
  const { page, shown } = await visit();
  await shown.untilTotalsAre("fresh");
  await shown.button("ihop").click();
  await shown.untilSays(shown.outcome("ihop"), "Counted");
  const last = await shown.chart();
  // What is kept is what was read.
  await shown.nextRead();

  await yelb.stopAppServer();
  await shown.timePasses();
  await shown.untilTotalsAre("stale");
  await shown.untilSays(shown.notice, /totals are \d+ seconds? old\. The app server cannot be reached/);
  await shown.untilSays(shown.announcement, "The totals are out of date. The app server cannot be reached.");
  assert.deepEqual(await shown.chart(), last);

  await page.reload();
  await shown.untilTotalsAre("stale");
  await shown.untilSays(shown.notice, /totals are \d+ seconds? old/);
  assert.deepEqual(await shown.chart(), last);
  await shown.untilSays(shown.pageViews, "unavailable The app server cannot be reached.");

  await shown.button("ihop").click();
  await shown.untilSays(shown.outcome("ihop"), "Your vote for IHOP was not confirmed. Try again.");
  await shown.untilSays(shown.announcement, "Your vote for IHOP was not confirmed. Try again.");

  await yelb.restartAppServer();
  await shown.timePasses();
  await shown.untilTotalsAre("fresh");
  assert.equal(await shown.notice.isVisible(), false);
  await shown.untilSays(shown.announcement, "The totals are up to date again.");
  await shown.untilSays(shown.appServer, /: (?!unavailable)\S+/);
  await shown.button("ihop").click();
  await shown.untilCounted("ihop", last.ihop.count + 1);
  // Retried by the page until the visit is counted.
  await shown.countedPageViews();
});

test("the page-view store is away: the votes go on, and the view is counted later", async () => {
  let views = 0;
  const { page, shown } = await visit(async (page) => {
    await page.route("**/api/getstats", (route) => {
      views += 1;
      return route.fulfill(problem(503, "page views are away"));
    });
  });
  await shown.untilSays(shown.pageViews, "unavailable The page-view store is away.");
  await shown.untilSays(shown.appServer, /: (?!unavailable)\S+/);
  await shown.untilTotalsAre("fresh");
  const before = await shown.chart();
  await shown.button("outback").click();
  await shown.untilCounted("outback", before.outback.count + 1);
  assert.equal(views, 1);

  await page.unroute("**/api/getstats");
  await shown.timePasses();
  assert.ok((await shown.countedPageViews()) > 0);
});

test("the vote store is away: the page says that it is the store", async () => {
  const { shown } = await visit((page) =>
    page.route("**/api/getvotes", (route) => route.fulfill(problem(503, "votes are away"))),
  );
  await shown.untilSays(shown.notice, "No totals yet. The vote store is away.");
  assert.match(await shown.page.locator(".total__count").textContent(), /–/);
});

test("the page's own server is gone: the page says that, too", async () => {
  const { page, shown } = await visit();
  await shown.untilTotalsAre("fresh");
  await page.context().setOffline(true);
  await shown.timePasses();
  await shown.untilSays(shown.notice, "The server of this page cannot be reached.");
  await page.context().setOffline(false);
  await shown.timePasses();
  await shown.untilTotalsAre("fresh");
});

test("an answer that is not an app server's is not believed", async () => {
  const { page, shown } = await visit();
  for (const body of ["<h1>Welcome to nginx</h1>", "[]", "{}", "null", '[{"name":"ihop","value":-1}]']) {
    await shown.untilTotalsAre("fresh");
    await page.route("**/api/getvotes", (route) => route.fulfill({ body }));
    await shown.timePasses();
    await shown.untilSays(shown.notice, "The answer was not an app server’s.");
    await page.unroute("**/api/getvotes");
    await shown.timePasses();
  }
  await page.route("**/api/ihop", (route) => route.fulfill({ body: "NaN" }));
  await shown.button("ihop").click();
  await shown.untilSays(shown.outcome("ihop"), "not confirmed. Try again. The answer was not an app server’s.");
});

test("trying again repeats the vote that was not confirmed, and not another one", async () => {
  const { page, shown } = await visit();
  const before = await counted("chipotle");
  const keys = [];
  page.on("request", (request) => {
    if (request.url().endsWith("/api/chipotle")) keys.push(request.headers()["idempotency-key"]);
  });

  // Counted, but the answer is lost on its way.
  await page.route(
    "**/api/chipotle",
    async (route) => {
      await route.fetch();
      await route.fulfill(problem(504, "too slow"));
    },
    { times: 1 },
  );
  await shown.button("chipotle").click();
  await shown.untilSays(shown.outcome("chipotle"), "not confirmed");
  for (const votes of [1, 2]) {
    await shown.button("chipotle").click();
    await shown.untilSays(shown.outcome("chipotle"), "Counted");
    await shown.timePasses();
    assert.equal(await shown.outcome("chipotle").textContent(), "");
    assert.equal(new Set(keys).size, votes);
    assert.equal(await counted("chipotle"), before + votes);
  }
});
