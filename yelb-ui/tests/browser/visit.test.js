// A visit when everything works: one process, the store embedded.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { complaintsOf, newVisitor, startBrowser } from "./support/browser.js";
import { startYelb } from "./support/servers.js";
import { RESTAURANTS, YelbPage } from "./support/yelb-page.js";

let yelb, browser;

before(async () => {
  [yelb, browser] = await Promise.all([startYelb(), startBrowser()]);
});

after(async () => {
  await browser?.close();
  await yelb?.stop();
});

async function visit(options) {
  const page = await newVisitor(browser, options);
  const complaints = complaintsOf(page);
  const shown = new YelbPage(page);
  const response = await page.goto(yelb.url);
  return { page, shown, complaints, response };
}

/** @returns {Promise<Record<string, number>>} what the API says, not the page */
async function counts() {
  const rows = await (await fetch(`${yelb.url}/api/getvotes`)).json();
  return Object.fromEntries(rows.map(({ name, value }) => [name, value]));
}

test("the page shows the four restaurants, the totals, the view and the app server", async () => {
  const { page, shown, complaints, response } = await visit();
  await shown.untilTotalsAre("fresh");

  assert.deepEqual(await page.locator(".ballot h3").allInnerTexts(), ["IHOP", "Chipotle", "Outback", "Buca di Beppo"]);
  assert.deepEqual(await page.locator(".column__name").allTextContents(), ["Outback", "Buca di Beppo", "IHOP", "Chipotle"]);
  for (const link of await page.locator(".ballot a").all()) {
    assert.equal(await link.getAttribute("target"), "_blank");
    assert.equal(await link.getAttribute("rel"), "noopener");
  }
  assert.ok((await shown.countedPageViews()) > 0);
  assert.match(await shown.appServer.textContent(), /: \S+/);

  const policy = response.headers()["content-security-policy"];
  assert.match(policy, /default-src 'none'/);
  assert.doesNotMatch(policy, /unsafe|\*|http/);
  assert.deepEqual(complaints, []);
});

test("before the first vote the ring is empty", async () => {
  const { page, shown } = await visit();
  const nobody = Object.keys(RESTAURANTS).map((name) => ({ name, value: 0 }));
  await page.route("**/api/getvotes", (route) => route.fulfill({ json: nobody }));
  await page.reload();
  await shown.untilTotalsAre("fresh");

  const chart = await shown.chart();
  assert.equal(chart.total, 0);
  for (const id of Object.keys(RESTAURANTS)) assert.deepEqual(chart[id], { count: 0, share: "0%", segment: 0 });
});

test("a click is a vote, for each restaurant", async () => {
  const { shown, complaints } = await visit();
  await shown.untilTotalsAre("fresh");

  for (const [id, name] of Object.entries(RESTAURANTS)) {
    const before = await shown.chart();
    await shown.button(id).click();
    const count = before[id].count + 1;
    const votes = count === 1 ? "1 vote" : `${count} votes`;
    await shown.untilSays(shown.outcome(id), `Counted, ${votes}`);
    await shown.untilSays(shown.announcement, `Vote for ${name} counted, ${votes}`);

    const now = await shown.chart();
    assert.equal(now[id].count, count);
    assert.equal(now.total, before.total + 1);
    assert.equal(now[id].share, `${Math.round((100 * count) / now.total)}%`);
    if (before.total !== before[id].count) assert.ok(now[id].segment > before[id].segment);
    assert.ok(now.inWords.includes(`${name} ${now[id].share}`), now.inWords);
    assert.equal((await counts())[id], count);
  }
  assert.deepEqual(complaints, []);
});

test("the keyboard is enough to vote, and shows where it is", async () => {
  const { page, shown } = await visit();
  await shown.untilTotalsAre("fresh");
  const before = await shown.chart();

  const focused = () => page.evaluate(() => document.activeElement.textContent);
  // A link and a button for each of the four.
  for (let tabs = 0; tabs < 8 && (await focused()) !== "Vote for Outback"; tabs += 1) await page.keyboard.press("Tab");
  assert.equal(await focused(), "Vote for Outback");
  assert.notEqual(await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle), "none");
  await page.keyboard.press("Enter");

  await shown.untilCounted("outback", before.outback.count + 1);
  assert.equal(await focused(), "Vote for Outback");
});

test("a reload is one more page view, and staying is none", async () => {
  const { page, shown, complaints } = await visit();
  const asked = [];
  page.on("request", (request) => asked.push(new URL(request.url()).pathname));
  await shown.untilTotalsAre("fresh");
  const views = await shown.countedPageViews();

  for (const _ of "123") await shown.nextRead();
  await page.reload();
  await shown.untilTotalsAre("fresh");

  assert.equal(await shown.countedPageViews(), views + 1);
  assert.equal(asked.filter((path) => path.endsWith("/getstats")).length, 1);
  assert.deepEqual(complaints, []);
});

test("ten quick clicks are ten votes", async () => {
  const { page, shown } = await visit();
  await shown.untilTotalsAre("fresh");
  const before = (await counts()).chipotle;

  await page.evaluate(() => {
    const button = document.querySelector('.ballot[data-restaurant="chipotle"] button');
    for (const _ of "0123456789") button.click();
  });
  await shown.untilCounted("chipotle", before + 10);
  assert.equal((await counts()).chipotle, before + 10);
});

test("somebody else's vote moves the chart", async () => {
  const { shown } = await visit();
  await shown.untilTotalsAre("fresh");
  const before = await shown.chart();
  await fetch(`${yelb.url}/api/bucadibeppo`);
  await shown.timePasses();
  await shown.untilCounted("bucadibeppo", before.bucadibeppo.count + 1);
});

test("nobody looks, nobody asks; who comes back sees the present", async () => {
  const { page, shown } = await visit();
  await shown.untilTotalsAre("fresh");
  const before = await shown.chart();

  const look = (hidden) =>
    page.evaluate((hidden) => {
      Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
      document.dispatchEvent(new Event("visibilitychange"));
    }, hidden);
  let reads = 0;
  page.on("request", (request) => (reads += request.url().endsWith("/getvotes") ? 1 : 0));
  await look(true);
  await shown.timePasses();
  assert.equal(reads, 0);

  await fetch(`${yelb.url}/api/ihop`);
  await look(false);
  await shown.untilCounted("ihop", before.ihop.count + 1);
});

test("the page fits a phone of 320 pixels, however many vote", async () => {
  const page = await newVisitor(browser, { viewport: { width: 320, height: 640 } });
  const shown = new YelbPage(page);
  const many = Object.keys(RESTAURANTS).map((name) => ({ name, value: 2 ** 40 }));
  await page.route("**/api/getvotes", (route) => route.fulfill({ json: many }));
  await page.route("**/api/getstats", (route) =>
    route.fulfill({ json: { hostname: `ip-${"10-0-0-1-".repeat(6)}.internal`, pageviews: 2 ** 40 } }),
  );
  await page.goto(yelb.url);
  await shown.untilCounted("ihop", 2 ** 40);
  await shown.untilSays(shown.appServer, "internal");
  assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), 320);
});

test("without JavaScript the page says what is missing", async () => {
  const html = await (await fetch(yelb.url)).text();
  assert.match(html, /<noscript>.*need JavaScript.*<\/noscript>/);
});
