// A visit when something is missing.

import assert from "node:assert/strict";
import { test } from "node:test";
import { newVisitor } from "./support/browser.js";
import { startPair } from "./support/servers.js";
import { stage } from "./support/stage.js";
import { problem, storeDown, YelbPage } from "./support/yelb-page.js";

const on = stage(startPair);

/** @param {(page: import("playwright-core").Page) => Promise<void>} [prepare] */
async function visit(prepare = async () => {}) {
  const page = await newVisitor(on.browser);
  await prepare(page);
  await page.goto(on.yelb.url);
  return { page, shown: new YelbPage(page) };
}

test("the app server goes: the totals stay, marked as old, and come back by themselves", async () => {
  const { page, shown } = await visit();
  await shown.untilTotalsAre("fresh");
  await shown.button("ihop").click();
  await shown.untilSays(shown.outcome("ihop"), "Counted");
  const last = await shown.chart();

  await on.yelb.stopAppServer();
  await shown.timePasses();
  await shown.untilTotalsAre("stale");
  await shown.untilSays(shown.notice, /App server down for \d:\d\d/);
  await shown.untilSays(shown.notice, "this browser keeps votes for a day and sends them again");
  await shown.untilSays(shown.announcement, "App server down. Keep voting: this browser keeps votes");
  await shown.untilSays(shown.note, /as of \d\d:\d\d:\d\d, \d+ s old/);
  assert.deepEqual(await shown.chart(), last);

  // The last vote was counted after the last read. A reload keeps it all the same.
  await page.reload();
  await shown.untilTotalsAre("stale");
  assert.deepEqual(await shown.chart(), last);
  await shown.untilSays(shown.outcome("ihop"), /Counted at \d\d:\d\d:\d\d/);
  await shown.untilSays(shown.pageViews, "Page views unavailable");

  await on.yelb.restartAppServer();
  await shown.timePasses();
  await shown.untilTotalsAre("fresh");
  await shown.untilSays(shown.notice, /Back after \d+:\d\d/);
  await shown.untilSays(shown.announcement, /Back after .* Votes count again\./);
  await shown.untilSays(shown.appServer, /[^–]/);
  // Not only at the next try in ten seconds.
  await shown.countedPageViews();
  await shown.button("ihop").click();
  await shown.untilCounted("ihop", last.ihop.count + 1);
  for (const _ of "123") await shown.nextRead();
  assert.equal(await shown.notice.isVisible(), false);
});

test("an outage is as old after a reload as before it", async () => {
  const { page, shown } = await visit();
  await shown.untilTotalsAre("fresh");
  await page.route("**/api/**", (route) => route.fulfill(storeDown()));
  await shown.timePasses();
  await shown.untilSays(shown.notice, "Database down for");
  for (const _ of "123456") await shown.nextRead();
  await shown.untilSays(shown.notice, /down for 1:\d\d/);
  await page.reload();
  await shown.untilSays(shown.notice, /down for [1-9]:\d\d/);
});

test("the banner takes the place of the welcome, and nothing moves", async () => {
  for (const width of [320, 390, 768, 1280]) {
    const page = await newVisitor(on.browser, { viewport: { width, height: 844 }, reducedMotion: "reduce" });
    const shown = new YelbPage(page);
    await page.goto(on.yelb.url);
    await shown.untilTotalsAre("fresh");
    // The name of the app server may take a second line.
    await shown.countedPageViews();
    const geometry = () =>
      page.evaluate(() =>
        [...document.querySelectorAll(".card, .button, .track, .donut")].map((it) => JSON.stringify(it.getBoundingClientRect())),
      );
    const well = await geometry();
    await page.route("**/api/**", (route) => route.fulfill(storeDown()));
    await shown.timePasses();
    await shown.untilSays(shown.notice, "Database down");
    assert.deepEqual(await geometry(), well, `${width} pixels wide`);
    const overflows = await page.evaluate(() => {
      const slot = document.querySelector(".slot");
      return slot.scrollHeight > slot.clientHeight || slot.scrollWidth > slot.clientWidth;
    });
    assert.equal(overflows, false, `${width} pixels wide`);
    await page.context().close();
  }
});

test("the page-view store is down: the votes go on, and the view is counted later", async () => {
  let views = 0;
  const { page, shown } = await visit(async (page) => {
    await page.route("**/api/getstats", (route) => {
      views += 1;
      return route.fulfill(storeDown());
    });
  });
  await shown.untilSays(shown.pageViews, "Page-view store down");
  await shown.untilSays(shown.appServer, /[^–]/);
  await shown.untilTotalsAre("fresh");
  const before = await shown.chart();
  await shown.button("outback").click();
  await shown.untilCounted("outback", before.outback.count + 1);
  assert.equal(await shown.notice.isVisible(), false);
  assert.equal(views, 1);

  await page.unroute("**/api/getstats");
  await shown.timePasses();
  assert.ok((await shown.countedPageViews()) > 0);
});

test("a page view that is being counted is not counted again, although the app server comes back meanwhile", async () => {
  const waiting = [];
  const { page, shown } = await visit(async (page) => {
    // Not so long that the page gives up waiting.
    await page.clock.pauseAt(Date.now() + 60_000);
    await page.route("**/api/getstats", (route) => waiting.push(route));
    await page.route("**/api/getvotes", (route) => route.fulfill(storeDown()));
  });
  await shown.untilSays(shown.notice, "Database down for");
  await page.unroute("**/api/getvotes");
  await page.clock.runFor(4_000);
  await shown.untilSays(shown.notice, /Back after/);
  assert.equal(waiting.length, 1);
  await waiting[0].continue();
  await shown.countedPageViews();
});

test("the vote store is down: the page says that it is the store", async () => {
  const { shown } = await visit((page) => page.route("**/api/getvotes", (route) => route.fulfill(storeDown())));
  await shown.untilSays(shown.notice, "Database down for");
  await shown.untilSays(shown.note, "no totals yet");
  assert.equal(await shown.page.locator(".donut__mark:visible").count(), 0, "marks without a ring");
  assert.match(await shown.page.locator(".donut__total").textContent(), /–/);
});

test("the page's own server is gone: the page says that, too", async () => {
  const { page, shown } = await visit();
  await shown.untilTotalsAre("fresh");
  await page.context().setOffline(true);
  await shown.timePasses();
  await shown.untilSays(shown.notice, "No connection for");
  // The browser says that it is back, and the page does not wait for its next turn.
  await page.context().setOffline(false);
  await shown.untilTotalsAre("fresh");
});

test("an answer that is not an app server's is not believed", async () => {
  const { page, shown } = await visit();
  for (const body of ["<h1>Welcome to nginx</h1>", "[]", "{}", "null", '[{"name":"ihop","value":-1}]']) {
    await shown.untilTotalsAre("fresh");
    await page.route("**/api/getvotes", (route) => route.fulfill({ body }));
    await shown.timePasses();
    await shown.untilSays(shown.notice, "No app server for");
    await page.unroute("**/api/getvotes");
    await shown.timePasses();
  }
  await shown.untilTotalsAre("fresh");
  await page.route("**/api/ihop", (route) => route.fulfill({ body: "NaN" }));
  await shown.button("ihop").click();
  await shown.untilSays(shown.announcement, "Your vote for IHOP was not confirmed.");
});

test("an error of the app server is told with its status", async () => {
  const { page, shown } = await visit();
  await shown.untilTotalsAre("fresh");
  await page.route("**/api/getvotes", (route) => route.fulfill(problem(500, "a defect")));
  await shown.timePasses();
  await shown.untilSays(shown.notice, "App server failing (500) for");
});
