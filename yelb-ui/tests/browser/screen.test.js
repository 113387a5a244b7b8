// The big screen: the result for a room, and the way to the page.

import assert from "node:assert/strict";
import { test } from "node:test";
import { look } from "./support/browser.js";
import { forward, serve, startPair, startReplicas, startUi, startYelb } from "./support/servers.js";
import { stage } from "./support/stage.js";
import { RESTAURANTS, serves, storeDown, withoutName } from "./support/yelb-page.js";
import { openScreen, withoutStream } from "./support/yelb-screen.js";

const on = stage(async () => {
  const [alone, pair] = await Promise.all([startYelb(), startPair()]);
  return { alone, pair, stop: () => Promise.all([alone.stop(), pair.stop()]) };
});

const open = (site, ...options) => openScreen(on.browser, site, ...options);

async function counts(site) {
  const rows = await (await fetch(`${site}/api/getvotes`)).json();
  return Object.fromEntries(rows.map(({ name, value }) => [name, value]));
}

test("a vote moves the screen, which counts no page view and asks its own server alone", async () => {
  const { url } = on.yelb.alone;
  const { page, screen, complaints, asked } = await open(url);
  await screen.untilTotalsAre("fresh");
  const before = await counts(url);
  await fetch(`${url}/api/outback`);
  await screen.untilCounted("outback", before.outback + 1);
  await screen.untilSays(screen.total, /^[1-9]\d* votes?$/);
  await fetch(`${url}/api/getstats`);
  await screen.untilSays(screen.pageViews, /^\d+ page views?$/);
  assert.deepEqual(asked.filter(({ pathname }) => /getstats|pageviews/.test(pathname)), []);
  for (const { origin, href } of asked) assert.equal(origin, url, href);
  assert.equal(await page.locator("button:visible, a:visible").count(), 0);
  assert.deepEqual(complaints, []);
});

test("bars are ranked, and the leader is marked, also where there is no room to say by how much", async () => {
  const { page, screen } = await open(on.yelb.alone.url, {}, async (page) => {
    await withoutStream(page);
    await serves(page, { ihop: 378, chipotle: 412, outback: 291, bucadibeppo: 203 });
  });
  await screen.untilCounted("chipotle", 412);
  assert.deepEqual(await screen.ranking(), ["chipotle", "ihop", "outback", "bucadibeppo"]);
  assert.deepEqual(await page.locator(".row__lead:visible").allTextContents(), ["leads by 34"]);
  await serves(page, { ihop: 1, chipotle: 2, outback: 3, bucadibeppo: 1_234_567 });
  await screen.nextRead();
  await screen.untilCounted("bucadibeppo", 1_234_567);
  assert.equal((await screen.ranking())[0], "bucadibeppo");
  const star = page.locator(".row[data-first] .row__name");
  assert.match(await star.evaluate((it) => getComputedStyle(it, "::after").content), /★/);
});

test("the code and the words below it lead to the page", async () => {
  const { url } = on.yelb.alone;
  const { page, screen } = await open(url);
  await screen.untilTotalsAre("fresh");
  assert.equal(await screen.decoded(), `${url}/`);
  assert.equal(await screen.address.textContent(), url.replace("http://", ""));
  await page.goto(url);
  await page.setViewportSize({ width: 1280, height: 720 });
  await page.getByRole("link", { name: "Big screen" }).click();
  assert.equal(page.url(), `${url}/screen`);
});

for (const [balancer, prefix] of [["keeps", "/yelb"], ["takes off", ""]]) {
  test(`below a path that a balancer with TLS ${balancer}, the code leads to the page as visitors reach it`, async (context) => {
    const yelb = await startYelb({ YELB_BASE_PATH: "/yelb" });
    context.after(() => yelb.stop());
    const site = await serve(context, (asked, answer) => {
      if (!asked.url.startsWith("/yelb/")) return answer.writeHead(404).end();
      asked.headers["x-forwarded-proto"] = "https";
      forward(yelb.url + prefix + asked.url.slice("/yelb".length), asked, answer);
    });
    const { screen, complaints } = await open(`${site}/yelb`);
    await screen.untilTotalsAre("fresh");
    const page = `${site.replace("http:", "https:")}/yelb`;
    assert.equal(await screen.decoded(), `${page}/`);
    assert.equal(await screen.address.textContent(), page);
    assert.deepEqual(complaints, []);
  });
}

test("before the first vote the screen is the code, and the first vote brings the bars", async (context) => {
  const yelb = await startYelb();
  context.after(() => yelb.stop());
  const { page, screen } = await open(yelb.url, { viewport: { width: 1920, height: 1080 } });
  await screen.untilTotalsAre("fresh");
  assert.equal(await screen.decoded(), `${yelb.url}/`);
  const { width } = await screen.code.boundingBox();
  assert.ok(width > 1080 * 0.6, `${width} pixels wide`);
  assert.equal(await page.locator(".bars:visible").count(), 0);
  await fetch(`${yelb.url}/api/ihop`);
  await page.locator(".bars:visible").waitFor();
  assert.ok((await screen.code.boundingBox()).width < width);
});

test("the app server goes: the screen says so and for how long, keeps the totals, and comes back by itself", async () => {
  const { url } = on.yelb.pair;
  const { page, screen } = await open(url);
  await fetch(`${url}/api/ihop`);
  const { ihop } = await counts(url);
  await screen.untilCounted("ihop", ihop);

  await on.yelb.pair.stopAppServer();
  await screen.untilSays(screen.notice, /App server down for \d:\d\d/);
  await screen.untilSays(screen.notice, /Keep voting: votes are kept\.\s*Totals are from \d\d:\d\d:\d\d\./);
  await screen.untilSays(screen.announcement, "App server down. Keep voting: votes are kept.");
  await screen.untilTotalsAre("stale");
  await page.clock.runFor(61_000);
  await screen.untilSays(screen.notice, /App server down for 1:\d\d/);
  await page.reload();
  await screen.untilSays(screen.notice, /App server down for 1:\d\d/);
  await screen.untilCounted("ihop", ihop);
  await page.locator(".pace__gap[d^=M]").waitFor({ state: "attached" });

  await on.yelb.pair.restartAppServer();
  await screen.untilSays(screen.notice, /Back after \d+:\d\d/);
  await fetch(`${url}/api/ihop`);
  await screen.untilCounted("ihop", ihop + 1);
  await screen.untilSays(screen.notice, /Votes count again\.\s*1 counted since\./);
  await page.clock.runFor(21_000);
  await screen.notice.waitFor({ state: "hidden" });
});

test("the screen's own server is out of reach: it says so, and goes on where it was", async () => {
  const { url } = on.yelb.alone;
  const { page, screen } = await open(url);
  await screen.untilTotalsAre("fresh");
  await page.context().setOffline(true);
  await screen.untilSays(screen.notice, "No connection for");
  await page.locator(".pace__gap[d^=M]").waitFor({ state: "attached" });
  const { chipotle } = await counts(url);
  await fetch(`${url}/api/chipotle`);
  const streams = ["/api/stream", "/screen/answers"].map((path) => page.waitForResponse(`**${path}`));
  await page.context().setOffline(false);
  await screen.untilCounted("chipotle", chipotle + 1);
  await page.clock.runFor(5_000);
  await Promise.all(streams);
});

test("an outage of a database whose app server keeps no keys promises nothing", async () => {
  const { page, screen } = await open(on.yelb.alone.url, {}, withoutName);
  await screen.untilTotalsAre("fresh");
  await page.route("**/api/**", (route) => route.fulfill(storeDown()));
  await screen.timePasses();
  await screen.untilSays(screen.notice, "Database down for");
  await screen.untilSays(screen.notice, "Votes may not be counted now.");
});

test("each app server has the number of its answers", async (context) => {
  const replicas = await startReplicas();
  context.after(() => replicas.stop());
  // Both run on one machine and so have one name: what is in front of them tells them apart.
  let turn = 0;
  const balancer = await serve(context, (asked, answer) => {
    const which = asked.url === "/api/stream" ? 0 : (turn += 1) % 2;
    const write = answer.writeHead.bind(answer);
    answer.writeHead = (status, headers) => write(status, { ...headers, "yelb-host": `app-${which}-of-two-with-a-long-name.internal` });
    forward(`http://${replicas.addresses[which]}${asked.url}`, asked, answer);
  });
  const { ui, url } = await startUi(balancer.replace("http://", ""));
  context.after(() => ui.stop());
  const { page, screen } = await open(url);
  for (let votes = 0; votes < 10; votes += 1) await fetch(`${url}/api/outback`);
  await screen.untilCounted("outback", 10);
  await screen.untilSays(screen.hosts.filter({ hasText: "app-0-of-" }), /[5-9]$/);
  await screen.untilSays(screen.hosts.filter({ hasText: "app-1-of-" }), /[5-9]$/);
  assert.equal(await screen.hosts.count(), 2);
  const cut = await page.locator(".host__name:visible").evaluateAll((all) => all.filter((it) => it.scrollWidth > it.clientWidth));
  assert.equal(cut.length, 0);
});

test("of many app servers the newest show, and how many there are besides", async () => {
  const { screen } = await open(on.yelb.alone.url, {}, (page) =>
    page.route("**/screen/answers", (route) => {
      const hosts = [7, 6, 5, 4, 3, 2, 1].map((number) => [`app-${number}`, 1_000 * number]);
      const body = `data: ${JSON.stringify({ hosts, votes: [] })}\n\n`;
      return route.fulfill({ contentType: "text/event-stream", body });
    }),
  );
  await screen.untilSays(screen.hosts.nth(3), "app-4");
  assert.deepEqual(await screen.hosts.allInnerTexts().then((all) => all.map((it) => it.replace(/\s+/, " "))), [
    "app-7 7,000",
    "app-6 6,000",
    "app-5 5,000",
    "app-4 4,000",
  ]);
  assert.equal(await screen.page.locator(".hosts__more").textContent(), "these and 3 more");
});

test("votes per second are known from before the screen was opened, and go on", async () => {
  const { url } = on.yelb.alone;
  for (let votes = 0; votes < 40; votes += 1) await fetch(`${url}/api/ihop`);
  const { page, screen } = await open(url);
  await screen.untilSays(screen.rate, /^([1-9]|0\.)/);
  const chart = page.getByRole("img", { name: /^Votes a second over the last two minutes: \S+ now, \S+ at most$/ });
  await chart.waitFor();
  assert.match(await page.locator(".pace__line").getAttribute("d"), /^M\d+ [\d.]+(L\d+ [\d.]+)+$/);
  await page.clock.runFor(130_000);
  await screen.untilSays(screen.rate, /^0$/);
});

test("votes that came while the screen was hidden, or its machine slept, are no peak", async (context) => {
  const yelb = await startYelb();
  context.after(() => yelb.stop());
  // What the page's server remembers of the time has other seconds than the page's clock, which the test moves.
  const { page, screen } = await open(yelb.url, {}, (page) => page.route("**/screen/answers", (route) => route.fulfill({ status: 204 })));
  const chart = page.getByRole("img", { name: /^Votes a second/ });
  const vote = async (votes) => {
    for (let sent = 0; sent < votes; sent += 1) await fetch(`${yelb.url}/api/ihop`);
  };
  await vote(1);
  await screen.untilCounted("ihop", 1);
  await page.clock.runFor(5_000);
  await screen.untilSays(screen.rate, /^\d/);

  await look(page, true);
  await page.clock.runFor(60_000);
  await vote(100);
  await look(page, false);
  await screen.untilCounted("ihop", 101);
  await page.clock.runFor(5_000);
  await screen.untilSays(screen.rate, /^0$/);
  assert.match(await chart.getAttribute("aria-label"), /: 0 now, [01](\.\d)? at most$/);
  assert.match(await page.locator(".pace__line").getAttribute("d"), /M.*M/, "the line has a gap");

  // Asleep, the page's timers stand still, and no event says that it is hidden.
  await page.context().setOffline(true);
  await vote(100);
  await page.clock.fastForward(60_000);
  await page.context().setOffline(false);
  await screen.untilCounted("ihop", 201);
  await page.clock.runFor(5_000);
  await screen.untilSays(screen.rate, /^0$/);
  assert.match(await chart.getAttribute("aria-label"), /: 0 now, [01](\.\d)? at most$/);
});

test("with the original's app server the screen reads every few seconds, and names the host of its stats", async (context) => {
  let ihop = 7;
  let stats = 0;
  const original = await serve(context, ({ url }, response) => {
    const rows = Object.keys(RESTAURANTS).map((name) => ({ name, value: name === "ihop" ? ihop : 0 }));
    if (url === "/api/getstats") stats += 1;
    const answers = { "/api/getvotes": JSON.stringify(rows), "/api/getstats": '{"hostname": "original", "pageviews":12}' };
    response.writeHead(answers[url] ? 200 : 404).end(answers[url] ?? "<h1>Not Found</h1>");
  });
  const { ui, url } = await startUi(original.replace("http://", ""));
  context.after(() => ui.stop());
  const { screen, complaints } = await open(url);
  await screen.untilCounted("ihop", 7);
  await screen.untilSays(screen.hosts, /^original$/);
  await screen.untilSays(screen.pageViews, /^12 page views$/);
  for (const count of [8, 9]) {
    ihop = count;
    await screen.nextRead();
    await screen.untilCounted("ihop", count);
  }
  assert.equal(stats, 1);
  assert.equal(await screen.hosts.count(), 1);
  assert.deepEqual(complaints, []);
});

test("without JavaScript the screen says so, and its code leads to the page all the same", async () => {
  const context = await on.browser.newContext({ javaScriptEnabled: false });
  const page = await context.newPage();
  await page.goto(`${on.yelb.alone.url}/screen`);
  assert.match(await page.locator(".unscripted:visible").textContent(), /^This screen needs JavaScript/);
  await page.locator(".join__code:visible").waitFor();
  await context.close();
});
