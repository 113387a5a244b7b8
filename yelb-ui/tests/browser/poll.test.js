// Polls of other sizes: the same page with more choices.

import assert from "node:assert/strict";
import { test } from "node:test";
import { newVisitor } from "./support/browser.js";
import { startYelb } from "./support/servers.js";
import { stage } from "./support/stage.js";
import { RESTAURANTS, YelbPage } from "./support/yelb-page.js";

const on = stage(startYelb);

/** What the page has once for each choice. */
const OF_ONE = [
  /<symbol id="glyph-1"[^]*?<\/symbol>\s*<symbol id="sign-1"[^]*?<\/symbol>/,
  /<article[^>]*data-colour="1"[^]*?<\/article>/,
  /<li class="row"[^>]*data-colour="1"[^]*?<\/li>/,
  /<circle class="donut__segment"[^>]*data-colour="1"[^>]*>/,
  /<g class="donut__mark"[^>]*data-colour="1"[^]*?<\/g>/,
];

/** The page as it would be served for a poll with so many choices: the first one is there once more for each that is missing. */
function withChoices(html, many) {
  const parts = OF_ONE.map((part) => {
    const [found] = html.match(part) ?? assert.fail(`${part} is not on the page`);
    return found;
  });
  const others = Array.from({ length: many - 4 }, (_, index) => index + 5);
  return parts
    .reduce((page, part) => {
      const copy = (colour) =>
        part
          .replace(/data-colour="1"/g, `data-colour="${colour}"`)
          .replace(/(glyph|sign)-1"/g, `$1-${colour}"`)
          .replace(/data-restaurant="ihop"/g, `data-restaurant="choice-${colour}"`)
          .replace(/IHOP/g, `A choice with a long name ${colour}`);
      return page.replace(part, () => part + others.map(copy).join(""));
    }, html)
    .replace('<main class="few">', `<main class="many${many > 8 ? " crowd" : ""}">`);
}

for (const many of [8, 12]) {
  test(`${many} choices have a colour each, are ranked, and fit each width`, async () => {
    for (const width of [320, 390, 820, 1024, 1440]) {
      const page = await newVisitor(on.browser, { viewport: { width, height: 900 } });
      await page.route(`${on.yelb.url}/`, async (route) => {
        const response = await route.fetch();
        await route.fulfill({ response, body: withChoices(await response.text(), many) });
      });
      const others = Array.from({ length: many - 4 }, (_, at) => `choice-${at + 5}`);
      const json = [...Object.keys(RESTAURANTS), ...others].map((name, at) => ({ name, value: 1_000 * (at + 1) }));
      await page.route("**/api/getvotes", (route) => route.fulfill({ json }));
      await page.goto(on.yelb.url);
      const shown = new YelbPage(page);
      await shown.untilTotalsAre("fresh");
      await shown.untilCounted("ihop", 1_000);

      assert.equal(await page.locator(".ballot .button:visible").count(), many);
      const buttons = page.locator(".ballot .button");
      const colours = await buttons.evaluateAll((all) => all.map((it) => getComputedStyle(it).backgroundColor));
      assert.equal(new Set(colours).size, many);
      if (width >= 768) {
        const ranking = await shown.ranking();
        assert.equal(ranking[0], `choice-${many}`);
        assert.equal(ranking[many - 1], "ihop");
      }
      const outside = await page.evaluate(() => ({
        page: document.documentElement.scrollWidth - innerWidth,
        // Names that run into the line below them, and cards whose words do not fit.
        cards: [...document.querySelectorAll(".ballot")].filter((it) => it.scrollHeight > it.clientHeight + 1).length,
      }));
      assert.deepEqual(outside, { page: 0, cards: 0 }, `${width} pixels wide`);
      await page.context().close();
    }
  });
}
