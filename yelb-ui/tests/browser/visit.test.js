// A visit when everything works: one process, the store embedded.

import assert from "node:assert/strict";
import { test } from "node:test";
import { complaintsOf, look, newVisitor } from "./support/browser.js";
import { forward, serve, startYelb } from "./support/servers.js";
import { stage } from "./support/stage.js";
import { glidesAt, RESTAURANTS, serves, withoutName, YelbPage } from "./support/yelb-page.js";

const on = stage(startYelb);

async function visit(options) {
  const page = await newVisitor(on.browser, options);
  const complaints = complaintsOf(page);
  const shown = new YelbPage(page);
  const response = await page.goto(on.yelb.url);
  return { page, shown, complaints, response };
}

/** @param {Record<string, number>} counts */
function rows(counts) {
  return Object.entries(counts).map(([name, value]) => ({ name, value }));
}

/** @returns {Promise<Record<string, number>>} what the API says, not the page */
async function counts() {
  const rows = await (await fetch(`${on.yelb.url}/api/getvotes`)).json();
  return Object.fromEntries(rows.map(({ name, value }) => [name, value]));
}

test("the page shows the four restaurants, the totals, the view and the app server", async () => {
  const { page, shown, complaints, response } = await visit();
  await shown.untilTotalsAre("fresh");

  assert.deepEqual(await page.locator(".ballot h2").allInnerTexts(), ["IHOP", "Chipotle", "Outback", "Buca di Beppo"]);
  for (const link of await page.locator(".ballot a").all()) {
    assert.equal(await link.getAttribute("target"), "_blank");
    assert.equal(await link.getAttribute("rel"), "noopener");
  }
  assert.ok((await shown.countedPageViews()) > 0);
  assert.match(await shown.appServer.textContent(), /^[^–]\S*$/);

  const policy = response.headers()["content-security-policy"];
  assert.match(policy, /default-src 'none'/);
  assert.doesNotMatch(policy, /unsafe|\*|http/);
  assert.deepEqual(complaints, []);
});

test("before the first vote the page invites it", async () => {
  const { page, shown } = await visit();
  await serves(page, { ihop: 0, chipotle: 0, outback: 0, bucadibeppo: 0 });
  await page.reload();
  await shown.untilTotalsAre("fresh");

  const chart = await shown.chart();
  assert.equal(chart.total, 0);
  for (const id of Object.keys(RESTAURANTS)) {
    assert.deepEqual(chart[id], { count: 0, share: "0%", onCard: "0", segment: 0 });
  }
  assert.equal(await page.locator("h1").textContent(), "No votes yet. Yours decides lunch.");
  await shown.untilSays(shown.note, "waiting for the first vote");
  assert.equal(await page.locator(".row__lead:visible").count(), 0);
});

test("bars are ranked, their leader is marked, and cards and donut keep the poll's order", async () => {
  const { page, shown } = await visit();
  await serves(page, { ihop: 378, chipotle: 412, outback: 291, bucadibeppo: 203 });
  await shown.nextRead();
  await shown.untilCounted("chipotle", 412);
  assert.deepEqual(await shown.ranking(), ["chipotle", "ihop", "outback", "bucadibeppo"]);
  assert.deepEqual(await page.locator(".row__lead:visible").allTextContents(), ["leads by 34"]);
  assert.equal(await page.locator(".ballot[data-first] h2").textContent(), "Chipotle");

  await serves(page, { ihop: 378, chipotle: 412, outback: 1, bucadibeppo: 500 });
  await shown.nextRead();
  await shown.untilCounted("bucadibeppo", 500);
  assert.deepEqual(await shown.ranking(), ["bucadibeppo", "chipotle", "ihop", "outback"]);
  assert.deepEqual(await page.locator(".row__lead:visible").allTextContents(), ["leads by 88"]);
  for (const kind of [".ballot", ".donut__segment"]) {
    const ids = await page.locator(kind).evaluateAll((all) => all.map((it) => it.dataset.restaurant));
    assert.deepEqual(ids, Object.keys(RESTAURANTS), kind);
  }
});

test("bars glide to their new places, unless less motion is preferred", async () => {
  for (const [reducedMotion, glides] of [["no-preference", true], ["reduce", false]]) {
    const { page, shown } = await visit({ reducedMotion });
    await serves(page, { ihop: 1, chipotle: 2, outback: 3, bucadibeppo: 4 });
    await shown.nextRead();
    await shown.untilCounted("bucadibeppo", 4);
    await shown.ranking();
    await serves(page, { ihop: 9, chipotle: 8, outback: 7, bucadibeppo: 6 });
    const began = glidesAt(page, 9);
    await shown.nextRead();
    assert.equal(await began, glides, reducedMotion);
    assert.deepEqual(await shown.ranking(), ["ihop", "chipotle", "outback", "bucadibeppo"]);
  }
});

test("a restaurant has one colour, on sign, button, bars and segment", async () => {
  for (const colorScheme of ["light", "dark"]) {
    const { page, shown } = await visit({ colorScheme });
    await serves(page, { ihop: 1, chipotle: 2, outback: 3, bucadibeppo: 4 });
    await shown.nextRead();
    await shown.untilCounted("bucadibeppo", 4);
    const colours = await page.evaluate(() => {
      const of = (element, property) => getComputedStyle(element)[property];
      return [...document.querySelectorAll(".ballot")].map((card) => {
        const all = (selector) => [...document.querySelectorAll(`[data-restaurant="${card.dataset.restaurant}"]${selector}`)];
        return [
          ...all(" .button").map((it) => of(it, "backgroundColor")),
          ...all(" .fill").map((it) => of(it, "backgroundColor")),
          ...all(".donut__segment").map((it) => of(it, "stroke")),
          ...all(" .donut__disc").map((it) => of(it, "fill")),
        ];
      });
    });
    for (const ofOne of colours) {
      assert.equal(ofOne.length, 5);
      assert.equal(new Set(ofOne).size, 1, `${colorScheme}: ${ofOne}`);
    }
    assert.equal(new Set(colours.flat()).size, 4, colorScheme);
  }
});

test("a click is a vote, for each restaurant, and says who answered", async () => {
  const { page, shown, complaints } = await visit();
  await shown.untilTotalsAre("fresh");

  for (const [id, name] of Object.entries(RESTAURANTS)) {
    const before = await shown.chart();
    const answer = page.waitForResponse((response) => response.url().endsWith(`/api/${id}`));
    await shown.button(id).click();
    const count = before[id].count + 1;
    const votes = count === 1 ? "1 vote" : `${count} votes`;
    await shown.untilSays(shown.outcome(id), /Counted at \d\d:\d\d:\d\d/);
    await shown.untilSays(shown.announcement, `Vote for ${name} counted, ${votes}`);
    assert.equal(await shown.appServer.textContent(), (await answer).headers()["yelb-host"]);

    const now = await shown.chart();
    assert.equal(now[id].count, count);
    assert.equal(now[id].onCard, `${count}`);
    assert.equal(now.total, before.total + 1);
    assert.equal(now[id].share, `${Math.round((100 * count) / now.total)}%`);
    if (before.total !== before[id].count) assert.ok(now[id].segment > before[id].segment);
    assert.ok(now.inWords.includes(`${name} ${now[id].share}`), now.inWords);
    assert.equal((await counts())[id], count);
  }
  assert.deepEqual(complaints, []);
});

test("another app server answers: its name shows at the vote", async () => {
  const { page, shown } = await visit();
  await shown.untilTotalsAre("fresh");
  await page.route("**/api/ihop", (route) => route.fulfill({ body: "7", headers: { "Yelb-Host": "app-2" } }));
  await shown.button("ihop").click();
  await shown.untilSays(shown.appServer, /^app-2$/);
});

test("an app server that does not send its name in each answer is named by its stats", async () => {
  const page = await newVisitor(on.browser);
  await withoutName(page);
  await page.goto(on.yelb.url);
  const shown = new YelbPage(page);
  const hostname = (await (await fetch(`${on.yelb.url}/api/hostname`)).text()).trim();
  await shown.untilSays(shown.appServer, new RegExp(`^${hostname}$`));
  await shown.button("ihop").click();
  await shown.untilSays(shown.outcome("ihop"), "Counted at");
  assert.equal(await shown.appServer.textContent(), hostname);
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

test("a key that is held down is one vote", async () => {
  const { page, shown } = await visit();
  await shown.untilTotalsAre("fresh");
  for (const [key, id] of [["Enter", "ihop"], ["Space", "outback"]]) {
    const before = (await counts())[id];
    await shown.button(id).focus();
    // Playwright repeats the key for as long as it is down, as a keyboard does.
    for (const _ of "12345") await page.keyboard.down(key);
    await page.keyboard.up(key);
    await shown.untilCounted(id, before + 1);
    await shown.nextRead();
    assert.equal((await counts())[id], before + 1, key);
  }
});

test("a reload is one more page view, and staying is none", async () => {
  const { page, shown, complaints } = await visit();
  await shown.untilTotalsAre("fresh");
  const views = await shown.countedPageViews();
  const asked = [];
  page.on("request", (request) => asked.push(new URL(request.url()).pathname));

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
    const button = document.querySelector('.ballot[data-restaurant="chipotle"] .button');
    for (const _ of "0123456789") button.click();
  });
  await shown.untilCounted("chipotle", before + 10);
  assert.equal((await counts()).chipotle, before + 10);
});

test("another visitor's vote moves the chart", async () => {
  const { shown } = await visit();
  await shown.untilTotalsAre("fresh");
  const before = await shown.chart();
  await fetch(`${on.yelb.url}/api/bucadibeppo`);
  await shown.timePasses();
  await shown.untilCounted("bucadibeppo", before.bucadibeppo.count + 1);
});

test("the pace of the votes is told", async () => {
  const { page, shown } = await visit();
  let ihop = 0;
  await page.route("**/api/getvotes", (route) => {
    ihop += 100;
    return route.fulfill({ json: rows({ ihop, chipotle: 0, outback: 0, bucadibeppo: 0 }) });
  });
  for (const _ of "12") await shown.nextRead();
  await shown.untilSays(shown.note, /^\d+ votes a second$/);
});

test("a hidden page reads nothing; a page that becomes visible reads at once", async () => {
  const { page, shown } = await visit();
  await shown.untilTotalsAre("fresh");
  const before = await shown.chart();

  let reads = 0;
  page.on("request", (request) => (reads += request.url().endsWith("/getvotes") ? 1 : 0));
  await look(page, true);
  await shown.timePasses();
  assert.equal(reads, 0);

  await fetch(`${on.yelb.url}/api/ihop`);
  await look(page, false);
  await shown.untilCounted("ihop", before.ihop.count + 1);
});

test("the page fits a phone of 320 pixels, however many vote", async () => {
  const page = await newVisitor(on.browser, { viewport: { width: 320, height: 640 } });
  const shown = new YelbPage(page);
  await page.route("**/api/getstats", (route) =>
    route.fulfill({ json: { hostname: `ip-${"10-0-0-1-".repeat(6)}.internal`, pageviews: 2 ** 40 } }),
  );
  for (const many of [1_234_567, 99_999_999, 2 ** 40]) {
    await serves(page, { ihop: many, chipotle: many, outback: many, bucadibeppo: many });
    await page.goto(on.yelb.url);
    await shown.untilCounted("ihop", many);
    await shown.untilSays(shown.appServer, "internal");
    assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), 320);
    const broken = await page.locator(".figure:visible").evaluateAll((figures) =>
      figures.filter((it) => it.scrollWidth > it.clientWidth + 1 && it.clientWidth > 0).map((it) => it.textContent),
    );
    assert.deepEqual(broken, [], "a count is cut off");
  }
});

test("a phone's first screen has all four buttons, each beside its own result", async () => {
  const { page, shown } = await visit({ viewport: { width: 390, height: 844 } });
  await shown.untilTotalsAre("fresh");
  for (const id of Object.keys(RESTAURANTS)) {
    const box = await shown.button(id).boundingBox();
    assert.ok(box.y + box.height <= 844, `${id} ends at ${box.y + box.height}`);
    for (const part of [".ballot__count", ".ballot__share", ".track"]) {
      assert.ok(await shown.card(id).locator(part).isVisible(), `${id} ${part}`);
    }
  }
});

test("without JavaScript the page says what is missing, in the place of the buttons", async () => {
  const context = await on.browser.newContext({ javaScriptEnabled: false });
  const page = await context.newPage();
  await page.goto(on.yelb.url);
  assert.equal(await page.locator(".button:visible").count(), 0);
  const said = page.locator(".ballot__unscripted:visible");
  assert.equal(await said.count(), 4);
  assert.match(await said.first().textContent(), /^Voting needs JavaScript/);
  await context.close();
});

test("behind a login, an address with a name and a password in it votes as well", async (context) => {
  const login = `Basic ${btoa("visitor:secret")}`;
  const site = await serve(context, (asked, answer) => {
    if (asked.headers.authorization === login) return forward(on.yelb.url + asked.url, asked, answer);
    answer.writeHead(401, { "WWW-Authenticate": 'Basic realm="workshop"' }).end();
  });
  const page = await newVisitor(on.browser);
  const shown = new YelbPage(page);
  await page.goto(site.replace("http://", "http://visitor:secret@"));
  await shown.untilTotalsAre("fresh");
  const before = (await counts()).ihop;
  await shown.button("ihop").click();
  await shown.untilCounted("ihop", before + 1);
  assert.equal((await counts()).ihop, before + 1);
});

test("a page of another origin votes with a key and a trace of its own", async (context) => {
  const other = await serve(context, (_, answer) => {
    answer.setHeader("Content-Type", "text/html").end("<title>another</title>");
  });
  const page = await newVisitor(on.browser);
  await page.goto(other);
  const before = (await counts()).ihop;
  const headers = {
    "Idempotency-Key": "another-origin",
    traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    tracestate: "vendor=1",
    "X-Amzn-Trace-Id": "Root=1-4bf92f35-77b34da6a3ce929d0e0e4736",
  };
  const vote = async ([url, headers]) => (await fetch(url, { headers })).text();
  const answer = await page.evaluate(vote, [`${on.yelb.url}/api/ihop`, headers]);
  assert.equal(answer, String(before + 1));
});

for (const [balancer, prefix] of [["keeps", "/yelb"], ["takes off", ""]]) {
  test(`below a path that the load balancer ${balancer}, the page is whole and votes`, async (context) => {
    const yelb = await startYelb({ YELB_BASE_PATH: "/yelb" });
    context.after(() => yelb.stop());
    const site = await serve(context, (asked, answer) => {
      // Another site has the rest of the paths.
      if (!asked.url.startsWith("/yelb")) return answer.writeHead(404).end();
      forward(yelb.url + prefix + asked.url.slice("/yelb".length), asked, answer);
    });
    const page = await newVisitor(on.browser);
    const complaints = complaintsOf(page);
    const shown = new YelbPage(page);
    // A balancer that takes the path off hands on the same for both, so the way to the slash is its own.
    await page.goto(`${site}/yelb${prefix ? "" : "/"}`);
    assert.equal(page.url(), `${site}/yelb/`);
    await shown.untilTotalsAre("fresh");
    await shown.button("ihop").click();
    await shown.untilCounted("ihop", 1);
    const image = await page.locator("meta[property='og:image']").getAttribute("content");
    assert.ok(image.startsWith(`${site}/yelb/static/`), image);
    assert.deepEqual(complaints, []);
  });
}

test("only a site that a setting names may show the page in a frame", async (context) => {
  const frame = (url) => `<iframe src="${url}"></iframe>`;
  const site = await serve(context, (_, answer) => {
    answer.setHeader("Content-Type", "text/html").end(frame(on.yelb.url) + frame(framed.url));
  });
  const framed = await startYelb({ YELB_FRAME_ANCESTORS: site });
  context.after(() => framed.stop());

  const page = await newVisitor(on.browser);
  const refused = page.waitForEvent("console", (message) => message.text().includes("frame-ancestors 'none'"));
  await page.goto(site);
  assert.ok((await refused).text().includes(on.yelb.url));
  await page.frameLocator(`iframe[src="${framed.url}"]`).locator(".ballot h2").first().waitFor();
});
