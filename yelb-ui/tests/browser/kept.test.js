// What becomes of votes that were not confirmed.

import assert from "node:assert/strict";
import { test } from "node:test";
import { newLiveVisitor, newVisitor } from "./support/browser.js";
import { startPair } from "./support/servers.js";
import { stage } from "./support/stage.js";
import { problem, storeDown, withoutName, YelbPage } from "./support/yelb-page.js";

const DAY = 24 * 3_600_000;

const on = stage(startPair);

/** @param {string} id */
async function counted(id) {
  const rows = await (await fetch(`${on.yelb.url}/api/getvotes`)).json();
  return rows.find((row) => row.name === id).value;
}

/**
 * @param {(page: import("playwright-core").Page) => Promise<void>} [prepare]
 * @param {typeof newVisitor} [newPage]
 */
async function visit(prepare = async () => {}, newPage = newVisitor) {
  const page = await newPage(on.browser);
  await prepare(page);
  const keys = [];
  page.on("request", (request) => {
    const key = request.headers()["idempotency-key"];
    if (key) keys.push(key);
  });
  await page.goto(on.yelb.url);
  const shown = new YelbPage(page);
  await shown.untilTotalsAre("fresh");
  return { page, shown, keys };
}

/** The vote is counted, but its answer is lost on its way. */
async function losesAnswers(page, id) {
  await page.route(`**/api/${id}`, async (route) => {
    await route.fetch();
    await route.fulfill(problem(504, "too slow"));
  });
}

test("votes of an outage are kept through a reload, sent again by themselves, and counted once", async () => {
  const { page, shown, keys } = await visit();
  const before = { ihop: await counted("ihop"), outback: await counted("outback") };
  await on.yelb.stopAppServer();
  await shown.timePasses();
  await shown.untilTotalsAre("stale");

  await shown.button("ihop").click();
  await shown.untilSays(shown.outcome("ihop"), "Will be sent again");
  await shown.untilSays(shown.announcement, "Your vote for IHOP was not confirmed. It is kept and sent again.");
  await shown.button("outback").click();
  await shown.button("outback").click();
  await shown.untilSays(shown.outcome("outback"), "2 votes to be sent again");
  await shown.untilSays(shown.outcome("chipotle"), "Votes are kept");

  await page.reload();
  await shown.untilTotalsAre("stale");
  await shown.untilSays(shown.outcome("outback"), "2 votes to be sent again");

  await on.yelb.restartAppServer();
  await shown.timePasses();
  await shown.untilSays(shown.outcome("ihop"), "Counted at");
  await shown.untilSays(shown.outcome("outback"), "Counted at");
  await shown.untilSays(shown.notice, "Your 3 waiting votes are counted, too.");
  assert.equal(await counted("ihop"), before.ihop + 1);
  assert.equal(await counted("outback"), before.outback + 2);
  assert.equal(new Set(keys).size, 3);

  // Nothing is left to send.
  keys.length = 0;
  await page.reload();
  await shown.nextRead();
  assert.deepEqual(keys, []);
});

for (const [how, newPage] of [["where the totals are read", newVisitor], ["while the stream is open", newLiveVisitor]]) {
  test(`${how}, a vote whose answer was lost is sent again, and not counted twice`, async () => {
    const { page, shown, keys } = await visit(undefined, newPage);
    const before = await counted("chipotle");
    await losesAnswers(page, "chipotle");
    await shown.button("chipotle").click();
    // The totals can be read, so it is the votes alone.
    await shown.untilSays(shown.notice, "Votes not counted for");
    await page.unroute("**/api/chipotle");
    await shown.timePasses();
    await shown.untilSays(shown.outcome("chipotle"), "Counted at");
    await shown.untilSays(shown.notice, "Your 1 waiting vote is counted, too.");
    assert.equal(await counted("chipotle"), before + 1);
    assert.equal(new Set(keys).size, 1);
    assert.ok(keys.length > 1);
  });

  test(`${how}, a single vote that fails is sent again at once`, async () => {
    const { page, shown } = await visit(undefined, newPage);
    const before = await counted("ihop");
    await page.route("**/api/ihop", (route) => route.fulfill(storeDown()), { times: 1 });
    await shown.button("ihop").click();
    await shown.untilSays(shown.outcome("ihop"), "Counted at");
    assert.equal(await counted("ihop"), before + 1);
  });

  test(`${how}, votes that are refused for some time are counted after it, also after a reload in the middle`, async () => {
    const { page, shown, keys } = await visit(undefined, newPage);
    const before = await counted("outback");
    await page.route("**/api/outback", (route) => route.fulfill(storeDown()));
    await shown.button("outback").click();
    await shown.button("outback").click();
    await shown.untilSays(shown.outcome("outback"), "2 votes to be sent again");
    await shown.nextRead();
    await shown.untilSays(shown.notice, "Votes not counted for");
    await page.reload();
    await shown.untilSays(shown.outcome("outback"), "2 votes to be sent again");
    await shown.untilSays(shown.notice, "Votes not counted for");
    await shown.nextRead();
    await page.unroute("**/api/outback");
    await shown.timePasses();
    await shown.untilSays(shown.notice, "Your 2 waiting votes are counted, too.");
    assert.equal(await counted("outback"), before + 2);
    assert.equal(new Set(keys).size, 2);
  });

  test(`${how}, what a proxy refuses is sent again`, async () => {
    for (const status of [403, 404, 429]) {
      const { page, shown } = await visit(undefined, newPage);
      const before = await counted("outback");
      await page.route("**/api/outback", (route) => route.fulfill({ status, body: "<h1>Not now</h1>" }), { times: 1 });
      await shown.button("outback").click();
      await shown.untilSays(shown.outcome("outback"), "Counted at");
      assert.equal(await counted("outback"), before + 1, `${status}`);
      await page.context().close();
    }
  });

  test(`${how}, a refusal is final: such a vote is not sent again by itself`, async () => {
    const { page, shown, keys } = await visit(undefined, newPage);
    await page.route("**/api/ihop", (route) => route.fulfill(problem(404, "no such restaurant", { "Yelb-Host": "app-1" })));
    await shown.button("ihop").click();
    await shown.sendAgain("ihop").waitFor();
    for (const _ of "123") await shown.timePasses();
    assert.equal(keys.length, 1);
  });
}

test("to an app server that sends no Yelb-Host nothing is sent again by itself", async () => {
  const { page, shown, keys } = await visit(withoutName);
  const before = await counted("ihop");
  await losesAnswers(page, "ihop");
  await shown.button("ihop").click();
  await shown.sendAgain("ihop").waitFor();
  await shown.untilSays(shown.notice, "1 vote not confirmed");
  await shown.untilSays(shown.notice, "It may not have been counted. Sent again, it may count twice.");
  await shown.untilSays(shown.announcement, "Your vote for IHOP was not confirmed. It may not have been counted.");
  for (const _ of "123") await shown.nextRead();
  assert.equal(keys.length, 1);

  // Nor after a reload.
  await page.reload();
  await shown.untilTotalsAre("fresh");
  await shown.sendAgain("ihop").waitFor();
  for (const _ of "123") await shown.nextRead();
  assert.equal(keys.length, 1);

  await page.unroute("**/api/ihop");
  await shown.sendAgain("ihop").click();
  await shown.untilSays(shown.outcome("ihop"), "Counted at");
  assert.equal(new Set(keys).size, 1);
  assert.equal(await shown.notice.isVisible(), false);
  assert.ok((await counted("ihop")) > before);
});

test("a vote that may not have been counted can be forgotten", async () => {
  const { page, shown, keys } = await visit(withoutName);
  await losesAnswers(page, "outback");
  await shown.button("outback").click();
  await page.getByRole("button", { name: "Do not send again for Outback" }).click();
  assert.equal(await shown.notice.isVisible(), false);
  // The keyboard's place is not lost with the button.
  assert.equal(await page.evaluate(() => document.activeElement.textContent), "Vote for Outback");
  await page.reload();
  await shown.nextRead();
  assert.equal(keys.length, 1);
  assert.equal(await shown.outcome("outback").isVisible(), false);
});

test("after the day for which keys are kept nothing is sent again by itself", async () => {
  const { page, shown, keys } = await visit();
  await page.route("**/api/**", (route) => route.fulfill(storeDown()));
  await shown.button("bucadibeppo").click();
  await shown.untilSays(shown.outcome("bucadibeppo"), "Will be sent again");
  const sent = keys.length;

  await page.clock.fastForward(DAY);
  await page.unroute("**/api/**");
  await shown.timePasses();
  await shown.untilTotalsAre("fresh");
  await shown.sendAgain("bucadibeppo").waitFor();
  for (const _ of "123") await shown.nextRead();
  assert.equal(keys.length, sent);
});

test("before an app server has been heard of, the page promises no more than to keep votes", async () => {
  const page = await newVisitor(on.browser);
  await page.route("**/api/**", (route) => route.fulfill(problem(502, "gone")));
  await page.goto(on.yelb.url);
  const shown = new YelbPage(page);
  await shown.untilSays(shown.notice, "Votes are kept in this browser until an app server answers.");
  const before = await counted("chipotle");
  await shown.button("chipotle").click();
  await shown.untilSays(shown.outcome("chipotle"), "1 vote until an answer");
  await shown.untilSays(shown.announcement, "Your vote for Chipotle was not confirmed. It is kept until an app server answers.");

  await page.unroute("**/api/**");
  await shown.timePasses();
  await shown.untilSays(shown.outcome("chipotle"), "Counted at");
  assert.equal(await counted("chipotle"), before + 1);
});

test("where nothing can be stored, votes count, and the page asks to be left open", async () => {
  const { page, shown } = await visit((page) =>
    page.addInitScript(() => {
      for (const name of ["localStorage", "sessionStorage"]) {
        Object.defineProperty(globalThis, name, {
          get() {
            throw new DOMException("The operation is insecure.", "SecurityError");
          },
        });
      }
    }),
  );
  const before = await counted("ihop");
  await page.route("**/api/**", (route) => route.fulfill(storeDown()));
  await shown.timePasses();
  await shown.untilSays(shown.notice, "leave this page open: votes are sent again");
  await shown.button("ihop").click();
  await shown.untilSays(shown.notice, "leave this page open: votes are sent again");
  await page.unroute("**/api/**");
  await shown.timePasses();
  await shown.untilSays(shown.outcome("ihop"), "Counted at");
  assert.equal(await counted("ihop"), before + 1);
});

test("a vote that one tab settles is settled in the other", async () => {
  const { page, shown } = await visit();
  await page.route("**/api/**", (route) => route.fulfill(storeDown()));
  await shown.button("ihop").click();
  await shown.untilSays(shown.outcome("ihop"), "Will be sent again");
  const before = await counted("ihop");

  const other = await page.context().newPage();
  await other.goto(on.yelb.url);
  const otherShown = new YelbPage(other);
  await otherShown.untilSays(otherShown.outcome("ihop"), "Counted at");
  await shown.outcome("ihop").filter({ hasText: "sent again" }).waitFor({ state: "detached" });
  assert.equal(await counted("ihop"), before + 1);
});
