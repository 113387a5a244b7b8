// This visitor's votes while the stream is open: what the page has said of them holds.

import assert from "node:assert/strict";
import { test } from "node:test";
import { look, newLiveVisitor, newVisitor, startBrowser } from "./support/browser.js";
import { forward, serveBefore, startYelb } from "./support/servers.js";
import { stage } from "./support/stage.js";
import { problem, storeDown, withoutName, YelbPage } from "./support/yelb-page.js";

const on = stage(startYelb);

/** @returns {Promise<Record<string, number>>} */
async function counts() {
  const rows = await (await fetch(`${on.yelb.url}/api/getvotes`)).json();
  return Object.fromEntries(rows.map(({ name, value }) => [name, value]));
}

/** A visit whose stream is open. */
async function visit(url = on.yelb.url, page) {
  page ??= await newLiveVisitor(on.browser);
  const stream = page.waitForResponse("**/api/stream");
  await page.goto(url);
  await stream;
  const shown = new YelbPage(page);
  await shown.untilTotalsAre("fresh");
  return { page, shown };
}

/** A visit whose stream tells what the test tells, once this resolves. */
async function visitWithOwnStream(context) {
  const front = await serveBefore(context, on.yelb.url);
  front.tellsItself();
  const { page, shown } = await visit(front.url);
  let views = 1_000_000;
  /** Until the page has heard it. */
  async function tell(counts) {
    views += 1_000_000;
    front.tell(counts, views);
    await shown.untilSays(shown.pageViews, `${views / 1_000_000}M page views`);
  }
  await tell(await counts());
  return { front, page, shown, tell };
}

test("a reload right after a vote does not take it back, although the stream's first event is older", async (context) => {
  const { page, shown, tell } = await visitWithOwnStream(context);
  const before = await counts();
  await shown.button("ihop").click();
  await shown.untilCounted("ihop", before.ihop + 1);
  const stream = page.waitForResponse("**/api/stream");
  await page.reload();
  await stream;
  await shown.untilCounted("ihop", before.ihop + 1);
  await tell(before);
  assert.equal((await shown.chart()).ihop.count, before.ihop + 1);
});

test("an event that is older than a vote by some seconds does not hide the vote", async (context) => {
  const { page, shown, tell } = await visitWithOwnStream(context);
  const before = await counts();
  await shown.button("outback").click();
  await shown.untilCounted("outback", before.outback + 1);
  await page.clock.runFor(2_500);
  await tell(before);
  assert.equal((await shown.chart()).outback.count, before.outback + 1);
});

test("an operator's reset right after a vote shows, although no event follows it", async (context) => {
  const { front, page, shown, tell } = await visitWithOwnStream(context);
  const { ihop } = await counts();
  await shown.button("ihop").click();
  await shown.untilCounted("ihop", ihop + 1);
  const reset = { ihop: 0, chipotle: 0, outback: 0, bucadibeppo: 0 };
  const rows = Object.entries(reset).map(([name, value]) => ({ name, value }));
  front.instead.set("/api/getvotes", (_, answer) => answer.writeHead(200, { "Yelb-Host": "app-1" }).end(JSON.stringify(rows)));
  await tell(reset);
  await page.clock.runFor(10_000);
  await shown.untilCounted("ihop", 0);
});

test("a vote that its event confirms costs no read", async (context) => {
  const { page, shown, tell } = await visitWithOwnStream(context);
  const { ihop } = await counts();
  await shown.button("ihop").click();
  await shown.untilCounted("ihop", ihop + 1);
  await tell(await counts());
  let reads = 0;
  page.on("request", (request) => (reads += request.url().endsWith("/getvotes") ? 1 : 0));
  await page.clock.runFor(30_000);
  assert.equal(reads, 0);
});

test("a page that is reloaded before its vote is answered sends it again, and it is counted once", async (context) => {
  const front = await serveBefore(context, on.yelb.url);
  const { page, shown } = await visit(front.url);
  const before = (await counts()).chipotle;
  const keys = [];
  let arrived;
  const isUnderWay = new Promise((resolve) => (arrived = resolve));
  front.instead.set("/api/chipotle", async (asked, answer) => {
    keys.push(asked.headers["idempotency-key"]);
    if (keys.length > 1) return forward(on.yelb.url + asked.url, asked, answer);
    await fetch(on.yelb.url + asked.url, { headers: { "Idempotency-Key": keys[0] } });
    arrived();
  });
  await shown.button("chipotle").click();
  await isUnderWay;
  await page.reload();
  await shown.untilSays(shown.outcome("chipotle"), "Counted at");
  assert.equal((await counts()).chipotle, before + 1);
  assert.deepEqual(keys, [keys[0], keys[0]]);
});

test("votes that wait for a restaurant that is refused hold up no others, and all are told of in the end", async () => {
  const { page, shown } = await visit();
  const before = await counts();
  await page.route(/\/api\/(ihop|outback|getvotes)$/, (route) => route.fulfill(storeDown()));
  for (const id of ["ihop", "outback"]) {
    await shown.button(id).click();
    await shown.untilSays(shown.outcome(id), "Will be sent again");
  }
  await page.unroute(/\/api\/(ihop|outback|getvotes)$/);
  await page.route("**/api/ihop", (route) => route.fulfill(storeDown()));
  await shown.timePasses();
  await shown.untilSays(shown.outcome("outback"), "Counted at");
  await shown.untilSays(shown.outcome("ihop"), "Will be sent again");
  await shown.untilSays(shown.notice, "Votes not counted for");
  await page.unroute("**/api/ihop");
  await shown.timePasses();
  await shown.untilSays(shown.outcome("ihop"), "Counted at");
  await shown.untilSays(shown.notice, "Your 2 waiting votes are counted, too.");
  const { ihop, outback } = await counts();
  assert.deepEqual([ihop, outback], [before.ihop + 1, before.outback + 1]);
});

test("a vote that another tab has counted is no longer told as not counted", async () => {
  const { page, shown } = await visit();
  await page.route("**/api/ihop", (route) => route.fulfill(storeDown()));
  await shown.button("ihop").click();
  await shown.untilSays(shown.notice, "Votes not counted for");
  // From now on the first tab learns from the other alone.
  await page.route("**/api/getvotes", () => {});
  const other = await visit(on.yelb.url, await page.context().newPage());
  await other.shown.untilSays(other.shown.outcome("ihop"), "Counted at");
  await shown.untilSays(shown.notice, "Your 1 waiting vote is counted, too.");
});

test("a vote of a tab that was closed is sent by the one that is looked at then", async () => {
  const { page, shown } = await visit();
  const before = (await counts()).bucadibeppo;
  await look(page, true);
  const closing = await visit(on.yelb.url, await page.context().newPage());
  await closing.page.route("**/api/bucadibeppo", (route) => route.fulfill(storeDown()));
  await closing.shown.button("bucadibeppo").click();
  await closing.shown.untilSays(closing.shown.outcome("bucadibeppo"), "Will be sent again");
  await closing.page.close();
  await look(page, false);
  await shown.untilSays(shown.outcome("bucadibeppo"), "Counted at");
  assert.equal((await counts()).bucadibeppo, before + 1);
});

/**
 * Leaves the page for another one, and comes back to it as it was.
 * @param {import("playwright-core").Page} page
 * @param {() => Promise<void>} meanwhile
 */
async function leaveAndComeBack(page, meanwhile) {
  await page.evaluate(() => addEventListener("pageshow", ({ persisted }) => (globalThis.isBack = persisted)));
  await page.goto(`${on.yelb.url}/screen`);
  await meanwhile();
  await page.evaluate(() => history.back());
  await page.waitForFunction(() => globalThis.isBack);
}

/** A browser that keeps pages in memory, as visitors' do. */
async function keepingBrowser(context) {
  const browser = await startBrowser({ ignoreDefaultArgs: ["--disable-back-forward-cache"] });
  context.after(() => browser.close());
  return browser;
}

test("a page that comes back from the browser's memory is live, and sends what waited", async (context) => {
  const browser = await keepingBrowser(context);
  const { page, shown } = await visit(on.yelb.url, await newLiveVisitor(browser));
  const before = await counts();
  await page.route("**/api/ihop", (route) => route.fulfill(storeDown()));
  await shown.button("ihop").click();
  await shown.untilSays(shown.outcome("ihop"), "Will be sent again");
  const stream = page.waitForResponse("**/api/stream");
  await leaveAndComeBack(page, async () => {
    await page.unroute("**/api/ihop");
    await fetch(`${on.yelb.url}/api/outback`);
  });
  await stream;
  await shown.untilCounted("outback", before.outback + 1);
  await shown.untilSays(shown.outcome("ihop"), "Counted at");
  await fetch(`${on.yelb.url}/api/outback`);
  await shown.untilCounted("outback", before.outback + 2);
  assert.equal((await counts()).ihop, before.ihop + 1);
});

test("a vote that another tab has settled is not offered by a page that comes back from the browser's memory", async (context) => {
  const browser = await keepingBrowser(context);
  const page = await newVisitor(browser);
  const shown = new YelbPage(page);
  await withoutName(page);
  await page.route("**/api/ihop", (route) => route.fulfill(problem(504, "too slow")));
  await page.goto(on.yelb.url);
  await shown.untilTotalsAre("fresh");
  await shown.button("ihop").click();
  await shown.sendAgain("ihop").waitFor();
  await leaveAndComeBack(page, async () => {
    const other = await page.context().newPage();
    await withoutName(other);
    await other.goto(on.yelb.url);
    const otherShown = new YelbPage(other);
    await otherShown.sendAgain("ihop").click();
    await otherShown.untilSays(otherShown.outcome("ihop"), "Counted at");
  });
  await shown.sendAgain("ihop").waitFor({ state: "hidden" });
  assert.equal(await shown.notice.isVisible(), false);
});
