// What axe finds, in each colour scheme, at each width, when all is well and when it is not.

import assert from "node:assert/strict";
import { test } from "node:test";
import axe from "axe-core";
import { newVisitor } from "./support/browser.js";
import { startYelb } from "./support/servers.js";
import { stage } from "./support/stage.js";
import { storeDown, withoutName, YelbPage } from "./support/yelb-page.js";

/** A small phone, a phone, tablets, a projector, desks, and a 4K picture. */
const WIDTHS = [320, 390, 820, 1024, 1440, 1920, 3840];

const on = stage(startYelb);

/**
 * What axe finds at each width. The page is resized, which is quicker than to load it anew.
 * @param {import("playwright-core").Page} page
 */
async function findings(page) {
  // Evaluated by the debugger, which the page's policy does not bind: the policy stays as it is served.
  await page.evaluate(axe.source);
  const found = [];
  for (const width of WIDTHS) {
    await page.setViewportSize({ width, height: 800 });
    const { violations } = await page.evaluate(() =>
      globalThis.axe.run({ resultTypes: ["violations"], rules: { "target-size": { enabled: true } } }),
    );
    found.push(...violations.map(({ id, nodes }) => `${width}: ${id}: ${nodes.map((node) => node.html).join(" ")}`));
    const needed = await page.evaluate(() => document.documentElement.scrollWidth);
    if (needed !== width) found.push(`${width}: the page needs ${needed} pixels`);
  }
  return found;
}

for (const colorScheme of ["light", "dark"]) {
  test(`${colorScheme}, at each width`, async () => {
    // Without motion, so that no colour is looked at halfway.
    const page = await newVisitor(on.browser, { colorScheme, reducedMotion: "reduce" });
    const shown = new YelbPage(page);
    await page.goto(on.yelb.url);
    await shown.untilTotalsAre("fresh");
    await shown.button("ihop").click();
    await shown.untilSays(shown.outcome("ihop"), "Counted");
    assert.deepEqual(await findings(page), []);

    const fails = (route) => route.fulfill(storeDown());
    await page.route("**/api/**", fails);
    await page.reload();
    await shown.untilTotalsAre("stale");
    await shown.untilSays(shown.pageViews, "down");
    await shown.button("ihop").click();
    await shown.untilSays(shown.outcome("ihop"), "Will be sent again");
    assert.deepEqual(await findings(page), []);

    // An app server that keeps no keys: the visitor is asked.
    // In this order: no read in between finds one that does.
    await withoutName(page);
    await page.unroute("**/api/**", fails);
    await shown.timePasses();
    await shown.untilTotalsAre("fresh");
    await shown.sendAgain("ihop").waitFor();
    assert.deepEqual(await findings(page), []);
  });
}
