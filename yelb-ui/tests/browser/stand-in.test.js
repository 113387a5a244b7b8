// The page in front of the stand-in for the original's app server, on real stores: it sends no `Yelb-Host` and knows no keys.

import assert from "node:assert/strict";
import { hostname } from "node:os";
import { test } from "node:test";
import { newVisitor } from "./support/browser.js";
import { startBeforeStandIn } from "./support/servers.js";
import { stage } from "./support/stage.js";
import { YelbPage } from "./support/yelb-page.js";

const on = stage(startBeforeStandIn);

async function counted(id) {
  const rows = await (await fetch(`${on.yelb.url}/api/getvotes`)).json();
  return rows.find((row) => row.name === id).value;
}

async function visit() {
  const page = await newVisitor(on.browser);
  const votes = [];
  page.on("request", (request) => {
    if (/\/api\/(ihop|chipotle|outback|bucadibeppo)$/.test(request.url())) votes.push(request.url());
  });
  await page.goto(on.yelb.url);
  const shown = new YelbPage(page);
  await shown.untilTotalsAre("fresh");
  return { page, shown, votes };
}

test("votes, page views and the app server's name are shown", async () => {
  const { shown } = await visit();
  await shown.untilSays(shown.appServer, hostname());
  const views = await shown.countedPageViews();
  for (const id of ["ihop", "chipotle", "outback", "bucadibeppo"]) {
    const before = await counted(id);
    await shown.button(id).click();
    await shown.untilSays(shown.outcome(id), "Counted");
    await shown.untilCounted(id, before + 1);
    assert.equal(await counted(id), before + 1);
  }
  assert.equal(await (await visit()).shown.countedPageViews(), views + 1);
});

test("its death is shown as an outage, it recovers, and no vote is sent again by itself", async () => {
  const { page, shown, votes } = await visit();
  await shown.button("ihop").click();
  await shown.untilSays(shown.outcome("ihop"), "Counted");
  const before = await counted("outback");

  await on.yelb.tell("kill");
  await shown.timePasses();
  await shown.untilTotalsAre("stale");
  await shown.untilSays(shown.notice, /App server down for \d:\d\d/);
  await shown.button("outback").click();
  await shown.untilSays(shown.announcement, "Your vote for Outback was not confirmed. It may not have been counted.");

  await on.yelb.tell("start");
  await shown.timePasses();
  await shown.untilTotalsAre("fresh");
  await shown.untilSays(shown.notice, "1 vote not confirmed");
  for (const _ of "123") await shown.nextRead();
  await page.reload();
  await shown.untilTotalsAre("fresh");
  for (const _ of "123") await shown.nextRead();
  assert.equal(votes.length, 2, "the one before the outage and the one in it");
  assert.equal(await counted("outback"), before);

  await shown.sendAgain("outback").click();
  await shown.untilSays(shown.outcome("outback"), "Counted at");
  assert.equal(await counted("outback"), before + 1);
});
