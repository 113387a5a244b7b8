// This visitor's votes while the stream is open: what the page has said of them holds.

import assert from "node:assert/strict";
import { test } from "node:test";
import { newLiveVisitor } from "./support/browser.js";
import { forward, serveBefore, startYelb } from "./support/servers.js";
import { stage } from "./support/stage.js";
import { YelbPage } from "./support/yelb-page.js";

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
