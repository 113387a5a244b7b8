// The live stream: what others do shows at once, whatever becomes of the servers.

import assert from "node:assert/strict";
import { test } from "node:test";
import { complaintsOf, look, newLiveVisitor } from "./support/browser.js";
import { forward, serve, serveBefore, startPair, startReplicas, startUi } from "./support/servers.js";
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

test("totals of which nothing was heard for some time are not called live", async (context) => {
  // A stream without the heartbeats of a Yelb, which would come at any time.
  const front = await serveBefore(context, on.yelb.pair.url);
  front.tellsItself();
  const { page, shown } = await visit(front.url);
  const live = page.locator(".live");
  const tell = async (ihop, millions) => {
    front.tell({ ihop, chipotle: 1, outback: 1, bucadibeppo: 1 }, millions * 1_000_000);
    await shown.untilSays(shown.pageViews, `${millions}M page views`);
  };
  await tell(1_000, 2);
  await shown.untilSays(live, /^Live$/);
  await page.clock.runFor(25_000);
  await shown.untilSays(live, /^As of \d\d:\d\d:\d\d$/);
  await tell(1_001, 3);
  await shown.untilSays(live, /^Live$/);

  await page.route("**/api/**", () => {});
  await look(page, true);
  await page.clock.runFor(60_000);
  await look(page, false);
  await shown.untilSays(live, /^As of/);
  await page.context().close();
});

test("a stream that is cut and refused is opened again, and the page reads until then", async (context) => {
  const front = await serveBefore(context, on.yelb.pair.url);
  const { page, shown } = await visit(front.url);
  const { outback } = await shown.chart();
  for (const status of [500, 503]) {
    let refused = 0;
    front.instead.set("/api/stream", (_, answer) => {
      refused += 1;
      answer.writeHead(status).end();
    });
    front.cutStreams();
    await fetch(`${on.yelb.pair.url}/api/outback`);
    await shown.nextRead();
    await shown.untilCounted("outback", outback.count + (status === 500 ? 1 : 2));
    await shown.nextRead();
    assert.ok(refused > 0);
    front.instead.delete("/api/stream");
    const opened = page.waitForResponse("**/api/stream");
    await shown.timePasses();
    await opened;
  }
  assert.equal(await shown.notice.isVisible(), false);
});

test("where there was no stream, another server may have one: it is asked for again, but not at each read", async (context) => {
  const front = await serveBefore(context, on.yelb.pair.url);
  let refused = 0;
  front.instead.set("/api/stream", (_, answer) => {
    refused += 1;
    answer.writeHead(204).end();
  });
  const { page, shown } = await visit(front.url);
  const opened = page.waitForResponse((response) => response.url().endsWith("/api/stream") && response.status() === 200);
  // Read by read: one that takes too long would be an outage, after which the stream is asked for as well.
  for (let seconds = 0; seconds < 66; seconds += 3) {
    if (seconds === 30) {
      assert.equal(refused, 1);
      front.instead.delete("/api/stream");
    }
    const read = page.waitForEvent("requestfinished", (request) => /getvotes|stream/.test(request.url())).catch(() => {});
    await Promise.all([Promise.race([read, opened]), page.clock.runFor(3_000)]);
  }
  await opened;
  const { ihop } = await shown.chart();
  await fetch(`${on.yelb.pair.url}/api/ihop`);
  await shown.untilCounted("ihop", ihop.count + 1);
});

test("what becomes of a stream that was left has no effect on the next one", async (context) => {
  const front = await serveBefore(context, on.yelb.pair.url);
  const page = await newLiveVisitor(on.browser);
  // A browser that had the answer already when the page left the stream.
  await page.addInitScript(() => {
    const { fetch } = globalThis;
    let streams = 0;
    globalThis.fetch = (url, options) => {
      if (!url.endsWith("/api/stream") || (streams += 1) > 1) return fetch(url, options);
      return new Promise((resolve) => (globalThis.answerLate = () => resolve(new Response(null, { status: 204 }))));
    };
  });
  await page.goto(front.url);
  await page.waitForFunction(() => globalThis.answerLate);
  await look(page, true);
  const read = new Promise((resolve) => front.instead.set("/api/getvotes", (...held) => resolve(held)));
  const opened = page.waitForResponse("**/api/stream");
  await look(page, false);
  const [asked, answer] = await read;
  await page.evaluate(() => globalThis.answerLate());
  forward(on.yelb.pair.url + asked.url, asked, answer);
  await opened;
});

test("however much the stream tells, the totals are saved once a second, and when the page goes", async () => {
  const page = await newLiveVisitor(on.browser);
  await page.addInitScript(() => {
    const { setItem } = Storage.prototype;
    globalThis.saves = 0;
    Storage.prototype.setItem = function (name, value) {
      if (name.startsWith("yelb totals")) globalThis.saves += 1;
      setItem.call(this, name, value);
    };
  });
  const shown = new YelbPage(page);
  const stream = page.waitForResponse("**/api/stream");
  await page.goto(on.yelb.pair.url);
  await stream;
  await shown.untilTotalsAre("fresh");
  await page.clock.runFor(2_000);
  // From now on the page's time stands still.
  await page.clock.pauseAt((await page.evaluate(() => Date.now())) + 10_000);
  const saves = () => page.evaluate(() => globalThis.saves);
  const { ihop } = await shown.chart();
  const before = await saves();
  for (let votes = 1; votes <= 5; votes += 1) {
    await fetch(`${on.yelb.pair.url}/api/ihop`);
    await shown.untilCounted("ihop", ihop.count + votes);
  }
  assert.equal(await saves(), before);
  await page.clock.runFor(1_000);
  assert.equal(await saves(), before + 1);

  await fetch(`${on.yelb.pair.url}/api/ihop`);
  await shown.untilCounted("ihop", ihop.count + 6);
  await page.route("**/api/**", (route) => route.abort());
  await page.reload();
  await shown.untilCounted("ihop", ihop.count + 6);
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
