// A visitor of the page: votes, is told when the totals are no longer fresh, and votes again once they are.
//
//     node visitor.js http://127.0.0.1:8080
//
// prints a line for each of these.

import assert from "node:assert/strict";
import { newVisitor, startBrowser } from "../../../../yelb-ui/tests/browser/support/browser.js";
import { YelbPage } from "../../../../yelb-ui/tests/browser/support/yelb-page.js";

/** How long an outage may take to come, and to go. */
const PATIENCE = 60_000;

const browser = await startBrowser();
try {
  const page = await newVisitor(browser);
  page.setDefaultTimeout(PATIENCE);
  const shown = new YelbPage(page);
  await page.goto(process.argv[2]);
  await vote("ihop");
  console.log("voted");

  await shown.untilTotalsAre("stale");
  const total = (await shown.chart()).total;
  assert.ok(total > 0, "the last totals stay");
  console.log(`told: ${(await shown.notice.textContent()).trim().replace(/\s+/g, " ")}`);

  await shown.untilTotalsAre("fresh");
  await vote("chipotle");
  console.log("voted again");

  async function vote(id) {
    await shown.untilTotalsAre("fresh");
    await shown.button(id).click();
    await shown.untilSays(shown.outcome(id), "Counted");
  }
} finally {
  await browser.close();
}
