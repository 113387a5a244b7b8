// The live stream: what others do shows at once, whatever becomes of the servers.

import assert from "node:assert/strict";
import { test } from "node:test";
import { complaintsOf, newLiveVisitor } from "./support/browser.js";
import { serve, startPair, startReplicas, startUi } from "./support/servers.js";
import { stage } from "./support/stage.js";
import { YelbPage } from "./support/yelb-page.js";

const on = stage(async () => {
  const [pair, replicas] = await Promise.all([startPair(), startReplicas()]);
  return { pair, replicas, stop: () => Promise.all([pair.stop(), replicas.stop()]) };
});

/** A visit whose page has heard from the stream. */
async function visit(url) {
  const page = await newLiveVisitor(on.browser);
  const shown = new YelbPage(page);
  const asked = [];
  page.on("request", (request) => asked.push(new URL(request.url()).pathname));
  const stream = page.waitForResponse("**/api/stream");
  await page.goto(url);
  await stream;
  await shown.untilTotalsAre("fresh");
  return { page, shown, times: (path) => asked.filter((it) => it === path).length };
}

/** As a browser has it whose tab is in the background, or in front again. */
async function look(page, hidden) {
  await page.evaluate((hidden) => {
    Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
    document.dispatchEvent(new Event("visibilitychange"));
  }, hidden);
}

test("a vote in one browser moves the other, on another replica, and both replicas ask for nothing meanwhile", async (t) => {
  const [one, other] = await Promise.all(on.yelb.replicas.urls.map(visit));
  const { ihop } = await one.shown.chart();
  const took = [];
  for (let votes = 1; votes <= 100; votes += 1) {
    const [from, to] = votes % 2 ? [one, other] : [other, one];
    const began = performance.now();
    await from.page.evaluate(() => document.querySelector('.ballot[data-restaurant="ihop"] .button').click());
    await to.shown.untilCounted("ihop", ihop.count + votes);
    took.push(performance.now() - began);
    await from.shown.untilCounted("ihop", ihop.count + votes);
  }
  took.sort((a, b) => a - b);
  t.diagnostic(`100 votes: median ${Math.round(took[50])} ms, worst ${Math.round(took[99])} ms`);
  for (const { page, times } of [one, other]) {
    const reads = times("/api/getvotes");
    await page.clock.runFor(30_000);
    assert.equal(times("/api/getvotes"), reads, "a page with a stream does not read");
  }
});

test("a page view shows on the pages of others", async () => {
  const { shown } = await visit(on.yelb.pair.url);
  const before = await shown.countedPageViews();
  await fetch(`${on.yelb.pair.url}/api/getstats`);
  await shown.untilSays(shown.pageViews, new RegExp(`^${before + 1} page views`));
});

test("the pace is told while votes come, and no longer", async () => {
  const { page, shown } = await visit(on.yelb.pair.url);
  const { outback } = await shown.chart();
  for (const votes of [1, 2, 3]) {
    for (const _ of "12345") await fetch(`${on.yelb.pair.url}/api/outback`);
    await shown.untilCounted("outback", outback.count + 5 * votes);
  }
  await shown.untilSays(shown.note, /^\d+ votes a second$/);
  await page.clock.runFor(10_000);
  await shown.untilSays(shown.note, /^$/);
});

test("a hidden page has no stream, and opens one when it is looked at", async () => {
  const { page, shown, times } = await visit(on.yelb.pair.url);
  const { ihop } = await shown.chart();
  const closed = page.waitForEvent("requestfailed", (request) => request.url().endsWith("/api/stream"));
  await look(page, true);
  await closed;
  await fetch(`${on.yelb.pair.url}/api/ihop`);
  await page.clock.runFor(60_000);
  assert.equal((await shown.chart()).ihop.count, ihop.count);
  assert.equal(times("/api/stream"), 1);

  const opened = page.waitForResponse("**/api/stream");
  await look(page, false);
  await opened;
  await shown.untilCounted("ihop", ihop.count + 1);
  await fetch(`${on.yelb.pair.url}/api/ihop`);
  await shown.untilCounted("ihop", ihop.count + 2);
});

test("offline and back", async () => {
  const { page, shown } = await visit(on.yelb.pair.url);
  const { chipotle } = await shown.chart();
  await page.context().setOffline(true);
  await shown.untilSays(shown.notice, "No connection for");
  await fetch(`${on.yelb.pair.url}/api/chipotle`);
  const opened = page.waitForResponse("**/api/stream");
  await page.context().setOffline(false);
  await opened;
  await shown.untilCounted("chipotle", chipotle.count + 1);
  await fetch(`${on.yelb.pair.url}/api/chipotle`);
  await shown.untilCounted("chipotle", chipotle.count + 2);
});

test("the app server goes and comes back: the page says so at once, without asking, and sends what waited", async () => {
  const { page, shown, times } = await visit(on.yelb.pair.url);
  const { ihop } = await shown.chart();
  const reads = times("/api/getvotes");
  await on.yelb.pair.stopAppServer();
  await shown.untilSays(shown.notice, "App server down for");
  await shown.untilTotalsAre("stale");
  assert.equal(times("/api/getvotes"), reads);
  await shown.button("ihop").click();
  await shown.untilSays(shown.outcome("ihop"), "Will be sent again");

  await on.yelb.pair.restartAppServer();
  await shown.untilSays(shown.notice, /Back after/);
  await shown.untilCounted("ihop", ihop.count + 1);
  assert.equal(times("/api/stream"), 1, "the page's own stream was never cut");
  await fetch(`${on.yelb.pair.url}/api/ihop`);
  await shown.untilCounted("ihop", ihop.count + 2);
  await page.context().close();
});

test("a stream that is silent is given up, and another one opened", async () => {
  const { page, shown, times } = await visit(on.yelb.pair.url);
  await page.clock.runFor(45_000);
  const { ihop } = await shown.chart();
  await fetch(`${on.yelb.pair.url}/api/ihop`);
  await shown.untilCounted("ihop", ihop.count + 1);
  assert.ok(times("/api/stream") > 1);
});

test("a replica is killed: the stream goes on from the other one", async () => {
  const [one, other] = await Promise.all(on.yelb.replicas.urls.map(visit));
  const { outback } = await one.shown.chart();
  await on.yelb.replicas.killFirst();
  await other.shown.button("outback").click();
  await one.shown.untilCounted("outback", outback.count + 1);
  await one.shown.button("outback").click();
  await other.shown.untilCounted("outback", outback.count + 2);
  assert.equal(await one.shown.notice.isVisible(), false);
  assert.equal(one.times("/api/stream"), 1);
});

test("the original app server has no stream: the page reads every few seconds, and complains of nothing", async (context) => {
  let ihop = 7;
  const original = await serve(context, ({ url }, response) => {
    const rows = ["outback", "bucadibeppo", "ihop", "chipotle"].map((name) => ({ name, value: name === "ihop" ? ihop : 0 }));
    const answers = { "/api/getvotes": JSON.stringify(rows), "/api/getstats": '{"hostname": "original", "pageviews":1}' };
    response.writeHead(answers[url] ? 200 : 404).end(answers[url] ?? "<h1>Not Found</h1>");
  });
  const { ui, url } = await startUi(new URL(original).host);
  context.after(() => ui.stop());
  const page = await newLiveVisitor(on.browser);
  const complaints = complaintsOf(page);
  const shown = new YelbPage(page);
  let streams = 0;
  page.on("request", (request) => (streams += request.url().endsWith("/api/stream") ? 1 : 0));
  await page.goto(url);
  await shown.untilCounted("ihop", 7);
  for (const count of [8, 9]) {
    ihop = count;
    await shown.nextRead();
    await shown.untilCounted("ihop", count);
  }
  assert.equal(streams, 1);
  assert.deepEqual(complaints, []);
});

test("below a path, the stream is there as well", async (context) => {
  const pair = await startPair({ YELB_BASE_PATH: "/yelb" });
  context.after(() => pair.stop());
  const { page, shown, times } = await visit(`${pair.url}/yelb/`);
  await shown.untilSays(shown.pageViews, /^1 page view/);
  const reads = times("/yelb/api/getvotes");
  await fetch(`${pair.url}/yelb/api/ihop`);
  await shown.untilCounted("ihop", 1);
  await page.clock.runFor(30_000);
  assert.equal(times("/yelb/api/getvotes"), reads, "the page does not read");
  assert.equal(times("/yelb/api/stream"), 1);
});
