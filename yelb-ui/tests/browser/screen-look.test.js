// How the big screen looks: in each picture, in each colour scheme, with few votes and with many.

import assert from "node:assert/strict";
import { test } from "node:test";
import axe from "axe-core";
import { noteShifts } from "./support/browser.js";
import { startYelb } from "./support/servers.js";
import { stage } from "./support/stage.js";
import { glidesAt, serves, storeDown } from "./support/yelb-page.js";
import { openScreen, withoutStream } from "./support/yelb-screen.js";

/** A projector's, a laptop's, a desk's and a 4K picture. */
const PICTURES = [[1024, 768], [1280, 720], [1920, 1080], [3840, 2160]];
/** And what people may hold in their hands. */
const WIDTHS = [320, 390, 820, 1024, 1440, 1920, 3840];

const on = stage(startYelb);

const open = (...options) => openScreen(on.browser, on.yelb.url, ...options);

test("bars glide to their new places, unless less motion is preferred", async () => {
  for (const [reducedMotion, glides] of [["no-preference", true], ["reduce", false]]) {
    const { page, screen } = await open({ reducedMotion }, async (page) => {
      await withoutStream(page);
      await serves(page, { ihop: 1, chipotle: 2, outback: 3, bucadibeppo: 4 });
    });
    await screen.untilCounted("bucadibeppo", 4);
    await screen.ranking();
    await serves(page, { ihop: 9, chipotle: 8, outback: 7, bucadibeppo: 6 });
    const began = glidesAt(page, 9);
    await screen.nextRead();
    assert.equal(await began, glides, reducedMotion);
  }
});

/** In the page: what is cut off, and what lies over something else. */
function misfits() {
  const found = [];
  const boxes = [];
  for (const it of document.querySelectorAll(".top > :not(.banner), .row > *, .join > *, .donut, .pace > *, .host > *, .hosts__caption > *, .invitation li, .banner__words > *")) {
    const text = document.createRange();
    text.selectNodeContents(it);
    const { top, bottom, width, height, ...box } = it.getBoundingClientRect().toJSON();
    // Long counts and long names share their place.
    const left = it.matches(".row__count") ? text.getBoundingClientRect().left : box.left;
    const right = box.right - parseFloat(getComputedStyle(it).paddingRight);
    const covered = it.closest(".top") && !it.closest(".banner") && !document.querySelector(".banner").hidden;
    if (width < 1 || height < 1 || covered || !it.checkVisibility({ visibilityProperty: true }) || it.closest(".visually-hidden")) continue;
    const name = it.className.baseVal ?? it.className;
    if (left < -0.5 || top < -0.5 || right > innerWidth + 0.5 || bottom > innerHeight + 0.5) found.push(`${name} is outside`);
    if (it.matches(".figure, .banner__what, .banner__then, .top__name, .host__name, .join__address") && it.scrollWidth > it.clientWidth + 1 && it.clientWidth > 0)
      found.push(`${name} is cut off: ${it.textContent}`);
    boxes.push({ name, left, top, right, bottom });
  }
  // A thousandth of the picture is not seen.
  const slack = innerWidth / 1000;
  const isOver = (one, other) =>
    Math.min(one.right, other.right) - Math.max(one.left, other.left) > slack &&
    Math.min(one.bottom, other.bottom) - Math.max(one.top, other.top) > slack;
  boxes.forEach((one, at) => {
    for (const other of boxes.slice(at + 1)) if (isOver(one, other)) found.push(`${one.name} lies over ${other.name}`);
  });
  const { scrollWidth, scrollHeight } = document.documentElement;
  if (scrollWidth > innerWidth || scrollHeight > innerHeight) found.push("there is a scroll bar");
  return found;
}

test("all of it is in the picture and nothing shifts: at zero, few and many votes, in an outage and after it", async () => {
  for (const [width, height] of PICTURES) {
    const { page, screen } = await open({ viewport: { width, height }, reducedMotion: "reduce" }, async (page) => {
      await page.addInitScript(noteShifts);
      await withoutStream(page);
      await serves(page, { ihop: 0, chipotle: 0, outback: 0, bucadibeppo: 0 });
    });
    const fits = async (state) => assert.deepEqual(await page.evaluate(misfits), [], `${width}x${height}, ${state}`);
    await screen.untilTotalsAre("fresh");
    await fits("zero");
    for (const votes of [{ ihop: 378, chipotle: 412, outback: 291, bucadibeppo: 203 }, { ihop: 1_234_567, chipotle: 9, outback: 88_888, bucadibeppo: 99_999_999 }]) {
      await serves(page, votes);
      await screen.nextRead();
      await screen.untilCounted("ihop", votes.ihop);
      await fits(`${votes.ihop} votes`);
    }
    for (const status of [503, 500]) {
      await page.route("**/api/**", (route) => route.fulfill({ ...storeDown(), status }));
      const title = status === 503 ? "Database down for" : "App server failing (500) for";
      await screen.timePasses();
      await screen.untilSays(screen.notice, title);
      // An hour is longer to read than some seconds.
      await page.clock.fastForward(3_600_000);
      await screen.untilSays(screen.notice, `${title} ${status === 503 ? 1 : 2}:`);
      await fits(`status ${status}`);
    }
    await page.unroute("**/api/**");
    await serves(page, { ihop: 1_234_567, chipotle: 10, outback: 88_888, bucadibeppo: 99_999_999 });
    await screen.timePasses();
    await screen.untilSays(screen.notice, "1 counted since.");
    await fits("after it");
    await page.evaluate(() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve))));
    assert.deepEqual(await page.evaluate(() => globalThis.shifts), [], `${width}x${height}`);
    await page.context().close();
  }
});

/**
 * What axe finds at each width.
 * @param {import("playwright-core").Page} page
 */
async function findings(page) {
  await page.evaluate(axe.source);
  const found = [];
  for (const width of WIDTHS) {
    await page.setViewportSize({ width, height: 800 });
    const { violations } = await page.evaluate(() => globalThis.axe.run({ resultTypes: ["violations"] }));
    found.push(...violations.map(({ id, nodes }) => `${width}: ${id}: ${nodes.map(({ html }) => html).join(" ")}`));
  }
  return found;
}

for (const colorScheme of ["light", "dark"]) {
  test(`axe finds nothing, ${colorScheme}, at each width`, async () => {
    const { page, screen } = await open({ colorScheme, reducedMotion: "reduce" }, withoutStream);
    await screen.untilTotalsAre("fresh");
    assert.deepEqual(await findings(page), [], "live");
    await page.route("**/api/getvotes", (route) => route.fulfill(storeDown()));
    await screen.timePasses();
    await screen.untilTotalsAre("stale");
    assert.deepEqual(await findings(page), [], "down");
    await page.unroute("**/api/getvotes");
    await serves(page, { ihop: 0, chipotle: 0, outback: 0, bucadibeppo: 0 });
    await screen.timePasses();
    await screen.untilTotalsAre("fresh");
    assert.deepEqual(await findings(page), [], "zero");
  });
}
