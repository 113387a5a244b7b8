// What a visit costs.

import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout } from "node:timers/promises";
import { newLiveVisitor, newVisitor, noteShifts } from "./support/browser.js";
import { forward, serve, startYelb } from "./support/servers.js";
import { stage } from "./support/stage.js";
import { storeDown, YelbPage } from "./support/yelb-page.js";

const FIRST_VISIT = 30_000;

const on = stage(startYelb);

/** @param {import("playwright-core").Page} page */
async function network(page) {
  const session = await page.context().newCDPSession(page);
  const seen = { bytes: 0, sent: [] };
  const urls = new Map();
  const cached = new Set();
  await session.send("Network.enable");
  session.on("Network.requestWillBeSent", ({ requestId, request }) => urls.set(requestId, request.url));
  session.on("Network.requestServedFromCache", ({ requestId }) => cached.add(requestId));
  session.on("Network.responseReceived", ({ requestId, response }) => {
    if (response.fromDiskCache || response.fromPrefetchCache) cached.add(requestId);
  });
  session.on("Network.dataReceived", ({ encodedDataLength }) => (seen.bytes += encodedDataLength));
  session.on("Network.loadingFinished", ({ requestId }) => {
    const url = urls.get(requestId);
    // Not what came from the browser's own store.
    if (url !== undefined && !cached.has(requestId)) seen.sent.push(url);
  });
  return seen;
}

const isApi = (url) => url.includes("/api/");

test("a first visit loads at most 30 KB, the first answers of the API included, all from one origin", async () => {
  const page = await newLiveVisitor(on.browser);
  const seen = await network(page);
  const stream = page.waitForResponse("**/api/stream");
  await page.goto(on.yelb.url);
  await stream;
  await new YelbPage(page).countedPageViews();
  assert.ok(seen.sent.length > 10, `${seen.sent}`);
  assert.ok(seen.bytes <= FIRST_VISIT, `${seen.bytes} bytes`);
  for (const url of seen.sent) assert.ok(url.startsWith(`${on.yelb.url}/`), url);
});

test("a reload asks for the page alone", async () => {
  // A page with a route asks for everything each time.
  const page = await newLiveVisitor(on.browser);
  const seen = await network(page);
  const shown = new YelbPage(page);
  await page.goto(on.yelb.url);
  await shown.countedPageViews();
  seen.sent.length = 0;
  const stream = page.waitForResponse("**/api/stream");
  await page.reload();
  await stream;
  await shown.countedPageViews();
  assert.deepEqual(seen.sent.filter((url) => !isApi(url)), [`${on.yelb.url}/`]);
});

test("a page that arrives in two parts is shown as a whole", async (context) => {
  const document = await (await fetch(on.yelb.url)).text();
  const middle = document.indexOf('<section class="card result"');
  assert.ok(middle > 0);
  const site = await serve(context, async (asked, answer) => {
    if (asked.url !== "/") return forward(on.yelb.url + asked.url, asked, answer);
    answer.writeHead(200, { "Content-Type": "text/html; charset=utf-8" }).write(document.slice(0, middle));
    // Far more than the browser takes to paint what it has.
    await setTimeout(1000);
    answer.end(document.slice(middle));
  });
  const page = await newVisitor(on.browser, { viewport: { width: 820, height: 900 } });
  await page.addInitScript(noteShifts);
  await page.goto(site);
  await new YelbPage(page).untilTotalsAre("fresh");
  assert.deepEqual(await page.evaluate(() => globalThis.shifts), []);
});

test("nothing on the page shifts: while it loads, at votes of others, in an outage and after it", async () => {
  for (const width of [320, 390, 820, 1024, 1440]) {
    const page = await newVisitor(on.browser, { viewport: { width, height: 900 } });
    await page.addInitScript(noteShifts);
    const shown = new YelbPage(page);
    await page.goto(on.yelb.url);
    await shown.untilTotalsAre("fresh");
    const votes = Object.entries({ ihop: 1_234_567, chipotle: 9, outback: 88_888, bucadibeppo: 777 });
    const json = votes.map(([name, value]) => ({ name, value }));
    await page.route("**/api/getvotes", (route) => route.fulfill({ json }));
    await shown.nextRead();
    await shown.untilCounted("outback", 88_888);
    await shown.ranking();
    await page.unroute("**/api/getvotes");
    await page.route("**/api/**", (route) => route.fulfill(storeDown()));
    await shown.timePasses();
    await shown.untilTotalsAre("stale");
    await shown.button("chipotle").click();
    await shown.untilSays(shown.outcome("chipotle"), "Will be sent again");
    await page.unroute("**/api/**");
    await shown.timePasses();
    await shown.untilSays(shown.notice, "Your 1 waiting vote is counted, too.");
    await page.evaluate(() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve))));
    assert.deepEqual(await page.evaluate(() => globalThis.shifts), [], `${width} pixels wide`);
    await page.context().close();
  }
});
