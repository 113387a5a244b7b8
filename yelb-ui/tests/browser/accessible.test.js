// What axe finds, in each colour scheme, at each width, when all is well and when it is not.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import axe from "axe-core";
import { newVisitor, startBrowser } from "./support/browser.js";
import { startYelb } from "./support/servers.js";
import { problem, YelbPage } from "./support/yelb-page.js";

let yelb, browser;

before(async () => {
  [yelb, browser] = await Promise.all([startYelb(), startBrowser()]);
});

after(async () => {
  await browser?.close();
  await yelb?.stop();
});

/** @param {import("playwright-core").Page} page */
async function findings(page) {
  // Evaluated by the debugger, which the page's policy does not bind: the policy stays as it is served.
  await page.evaluate(axe.source);
  const { violations } = await page.evaluate(() => globalThis.axe.run());
  return violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html).join(" ")}`);
}

for (const colorScheme of ["light", "dark"]) {
  for (const width of [360, 1280]) {
    test(`${colorScheme}, ${width} pixels wide`, async () => {
      // Without motion, so that no colour is looked at halfway.
      const look = { colorScheme, viewport: { width, height: 800 }, reducedMotion: "reduce" };
      const page = await newVisitor(browser, look);
      const shown = new YelbPage(page);
      await page.goto(yelb.url);
      await shown.untilTotalsAre("fresh");
      await shown.button("ihop").click();
      await shown.untilSays(shown.outcome("ihop"), "Counted");
      assert.deepEqual(await findings(page), []);

      await page.route("**/api/**", (route) => route.fulfill(problem(502, "gone")));
      await page.reload();
      await shown.untilTotalsAre("stale");
      await shown.untilSays(shown.pageViews, "unavailable");
      await shown.button("ihop").click();
      await shown.untilSays(shown.outcome("ihop"), "not confirmed");
      assert.deepEqual(await findings(page), []);
    });
  }
}
