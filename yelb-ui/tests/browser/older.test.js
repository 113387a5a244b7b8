// Browsers of 2020: Safari 14, Chrome 87 and Firefox 78, as near as another browser comes to them. What one of the three lacks is
// taken away.

import assert from "node:assert/strict";
import { readdir } from "node:fs/promises";
import { test } from "node:test";
import { parse } from "acorn";
import { number, roughly } from "../../static/words.js";
import { complaintsOf, newLiveVisitor } from "./support/browser.js";
import { startPair } from "./support/servers.js";
import { stage } from "./support/stage.js";
import { serves, withoutName, YelbPage } from "./support/yelb-page.js";
import { openScreen, withoutStream } from "./support/yelb-screen.js";

const SCRIPTS = new URL("../../static/", import.meta.url);

const on = stage(startPair);

/**
 * In the page, before its scripts run. The first name of each line is that of an object; the others are what one of the browsers
 * does not find there. Only what the tests' own tool needs stays: `BigInt64Array`.
 */
function takeAway() {
  const lacking = [
    [globalThis, "structuredClone", "reportError", "scheduler", "requestIdleCallback", "cancelIdleCallback", "Iterator", "Temporal"],
    [globalThis, "WeakRef", "FinalizationRegistry", "AggregateError", "SuppressedError", "DisposableStack", "AsyncDisposableStack"],
    [globalThis, "BroadcastChannel", "CompressionStream", "DecompressionStream", "TextDecoderStream", "TextEncoderStream"],
    [globalThis, "TransformStream", "WritableStream", "URLPattern", "visualViewport", "navigation", "cookieStore", "trustedTypes"],
    [AbortSignal, "timeout", "any", "abort"],
    [AbortSignal.prototype, "throwIfAborted", "reason"],
    [ReadableStream, "from"],
    [ReadableStream.prototype, "pipeTo", "pipeThrough", "values", Symbol.asyncIterator],
    [Request.prototype, "duplex"],
    [Response, "json"],
    [Response.prototype, "bytes"],
    [Headers.prototype, "getSetCookie"],
    [URL, "canParse", "parse"],
    [URLSearchParams.prototype, "size"],
    [Object, "hasOwn", "groupBy"],
    [Map, "groupBy"],
    [Map.prototype, "getOrInsert", "getOrInsertComputed"],
    [Set.prototype, "union", "intersection", "difference", "symmetricDifference", "isSubsetOf", "isSupersetOf", "isDisjointFrom"],
    [Promise, "any", "withResolvers", "try"],
    [Array, "fromAsync"],
    [Array.prototype, "at", "findLast", "findLastIndex", "toSorted", "toReversed", "toSpliced", "with"],
    [Object.getPrototypeOf(Uint8Array.prototype), "at", "findLast", "findLastIndex", "toSorted", "toReversed", "with"],
    [Uint8Array, "fromBase64", "fromHex"],
    [Uint8Array.prototype, "toBase64", "toHex", "setFromBase64", "setFromHex"],
    [String.prototype, "at", "isWellFormed", "toWellFormed"],
    [RegExp, "escape"],
    [RegExp.prototype, "hasIndices", "unicodeSets"],
    [Error, "isError"],
    [Math, "f16round", "sumPrecise"],
    [Intl, "Segmenter", "ListFormat", "DisplayNames", "DurationFormat", "supportedValuesOf"],
    [Intl.NumberFormat.prototype, "formatRange", "formatRangeToParts"],
    [Crypto.prototype, "randomUUID"],
    [Navigator.prototype, "locks", "scheduling", "userAgentData", "wakeLock", "storage", "connection", "userActivation"],
    [Document.prototype, "startViewTransition", "adoptedStyleSheets"],
    [CSSStyleSheet.prototype, "replace", "replaceSync"],
    [CSS, "registerProperty", "highlights"],
    [Element.prototype, "checkVisibility", "moveBefore", "setHTMLUnsafe", "getHTML", "computedStyleMap", "role"],
    [Element.prototype, "ariaLabel", "ariaHidden", "ariaLive", "ariaDisabled", "ariaValueNow"],
    [HTMLElement.prototype, "inert", "popover", "showPopover", "hidePopover", "togglePopover"],
    [HTMLFormElement.prototype, "requestSubmit"],
  ];
  for (const [of, ...names] of lacking) for (const name of names) delete of[name];

  // Safari 14 ignores the notation of a number.
  const { NumberFormat } = Intl;
  Intl.NumberFormat = function (locale, { notation, compactDisplay, ...options } = {}) {
    return new NumberFormat(locale, options);
  };

  globalThis.leftOver = lacking.flatMap(([of, ...names]) => names.filter((name) => name in of).map(String));
}

const withoutNewer = (page) => page.addInitScript(takeAway);

async function visit() {
  const page = await newLiveVisitor(on.browser);
  await withoutNewer(page);
  const complaints = complaintsOf(page);
  const keys = [];
  page.on("request", (request) => {
    const key = request.headers()["idempotency-key"];
    if (key) keys.push(key);
  });
  await page.goto(on.yelb.url);
  const shown = new YelbPage(page);
  await shown.untilTotalsAre("fresh");
  assert.deepEqual(await page.evaluate(() => globalThis.leftOver), []);
  return { page, shown, complaints, keys };
}

/** @param {string} id */
async function counted(id) {
  const rows = await (await fetch(`${on.yelb.url}/api/getvotes`)).json();
  return rows.find((row) => row.name === id).value;
}

test("votes are counted, and the votes of others show, without what older browsers lack", async () => {
  const { shown, complaints } = await visit();
  for (const id of ["ihop", "outback"]) {
    const before = (await shown.chart())[id].count;
    await shown.button(id).click();
    await shown.untilCounted(id, before + 1);
    await shown.untilSays(shown.outcome(id), "Counted at");
  }
  const { chipotle } = await shown.chart();
  await fetch(`${on.yelb.url}/api/chipotle`);
  await shown.untilCounted("chipotle", chipotle.count + 1);
  assert.ok((await shown.countedPageViews()) > 0);
  assert.deepEqual(complaints, []);
});

test("votes of an outage are kept through a reload, and counted once, without what older browsers lack", async () => {
  const { page, shown, complaints, keys } = await visit();
  const before = await counted("ihop");
  await on.yelb.stopAppServer();
  await shown.timePasses();
  await shown.untilTotalsAre("stale");
  for (const _ of "12") await shown.button("ihop").click();
  await shown.untilSays(shown.outcome("ihop"), "2 votes to be sent again");

  await page.reload();
  await shown.untilTotalsAre("stale");
  await shown.untilSays(shown.outcome("ihop"), "2 votes to be sent again");

  await on.yelb.restartAppServer();
  await shown.timePasses();
  await shown.untilSays(shown.outcome("ihop"), "Counted at");
  await shown.untilSays(shown.notice, "Your 2 waiting votes are counted, too.");
  assert.equal(await counted("ihop"), before + 2);
  assert.equal(new Set(keys).size, 2);
  assert.deepEqual(complaints.filter((it) => it.startsWith("exception")), []);
});

test("a vote that may be lost can be sent again without what older browsers lack", async () => {
  const { page, shown, complaints } = await visit();
  const before = await counted("outback");
  await withoutName(page);
  await page.reload();
  await shown.untilTotalsAre("fresh");
  await page.route("**/api/outback", (route) => route.abort());
  await shown.button("outback").click();
  await shown.sendAgain("outback").waitFor();
  await page.unroute("**/api/outback");
  await shown.sendAgain("outback").click();
  await shown.untilSays(shown.outcome("outback"), "Counted at");
  assert.equal(await counted("outback"), before + 1);
  assert.deepEqual(complaints.filter((it) => it.startsWith("exception")), []);
});

test("the big screen shows totals, votes a second and app servers without what older browsers lack", async () => {
  const { page, screen, complaints } = await openScreen(on.browser, on.yelb.url, {}, withoutNewer);
  await screen.untilTotalsAre("fresh");
  assert.deepEqual(await page.evaluate(() => globalThis.leftOver), []);
  const before = await counted("chipotle");
  await fetch(`${on.yelb.url}/api/chipotle`);
  await screen.untilCounted("chipotle", before + 1);
  await screen.untilSays(screen.total, /^[1-9]\d* votes?$/);
  await screen.untilSays(screen.hosts, /\d$/);
  await screen.untilSays(screen.rate, /^\d/);
  assert.equal(await screen.decoded(), `${on.yelb.url}/`);
  assert.deepEqual(complaints, []);
});

test("high counts are short in older browsers, too", async () => {
  const page = await newLiveVisitor(on.browser);
  await withoutNewer(page);
  await withoutStream(page);
  await serves(page, { ihop: 123_456_789, chipotle: 999_999_999, outback: 1, bucadibeppo: 0 });
  await page.goto(on.yelb.url);
  const shown = new YelbPage(page);
  await shown.untilCounted("ihop", 123_456_789);
  assert.deepEqual(await page.locator(".row__count").allTextContents(), ["123.5M", "1B", "1", "0"]);

  const compact = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 4 });
  for (let count = 1e6; count < 2 ** 53; count = Math.ceil(count * 1.00731)) {
    assert.equal(roughly(count), compact.format(count));
    if (count >= 1e8) assert.equal(number(count), compact.format(count));
  }
});

/**
 * The styles without what one of the three browsers does not know. What is returned checks that they had all of it.
 * @param {import("playwright-core").Page} page
 */
async function withoutNewerStyles(page) {
  const newer = [
    /:focus-visible \{[^}]*\}/g,
    /content: "[^"]*" \/ [^;]*;/g,
    /^ *(?:text-wrap|text-decoration-thickness|color-scheme|forced-color-adjust): [^;]*;/gm,
    /^ *overflow-wrap: anywhere;/gm,
  ];
  const found = new Set();
  await page.route("**/*.css", async (route) => {
    const text = await (await route.fetch()).text();
    newer.filter((what) => text.search(what) >= 0).forEach((what) => found.add(what.source));
    await route.fulfill({ contentType: "text/css", body: newer.reduce((rest, what) => rest.replace(what, ""), text) });
  });
  return () => assert.deepEqual([...found].sort(), newer.map((what) => what.source).sort(), "each is somewhere");
}

/** In the page: what is wider than it may be, and what needs a gap that Safari 14 leaves out. */
function misfits() {
  const found = [];
  if (document.documentElement.scrollWidth > innerWidth) found.push(`the page needs ${document.documentElement.scrollWidth} pixels`);
  for (const it of document.querySelectorAll("body *:not(.visually-hidden, .visually-hidden *)")) {
    const { display, columnGap, rowGap } = getComputedStyle(it);
    const isGapped = [columnGap, rowGap].some((gap) => gap !== "normal" && gap !== "0px");
    if (/flex/.test(display) && isGapped) found.push(`${it.className} has a gap`);
    const { left, right, width } = it.getBoundingClientRect();
    if (width > 1 && (left < -0.5 || right > innerWidth + 0.5)) found.push(`${it.className.baseVal ?? it.className} is outside`);
  }
  return found;
}

test("nothing needs the styles that older browsers lack", async () => {
  for (const width of [320, 390, 820, 1440]) {
    const page = await newLiveVisitor(on.browser, { viewport: { width, height: 900 }, reducedMotion: "reduce" });
    const wereThere = await withoutNewerStyles(page);
    await withoutName(page);
    await page.goto(on.yelb.url);
    const shown = new YelbPage(page);
    await shown.untilTotalsAre("fresh");
    assert.deepEqual(await page.evaluate(misfits), [], `${width} pixels wide`);
    wereThere();
    await page.route("**/api/**", (route) => route.abort());
    await shown.button("bucadibeppo").click();
    await shown.sendAgain("bucadibeppo").waitFor();
    await shown.untilTotalsAre("stale");
    assert.deepEqual(await page.evaluate(misfits), [], `${width} pixels wide, in an outage`);
    await page.context().close();
  }
  for (const [width, height] of [[1024, 768], [1280, 720]]) {
    const { page, screen } = await openScreen(on.browser, on.yelb.url, { viewport: { width, height } }, async (page) => {
      await withoutNewerStyles(page);
      await withoutStream(page);
    });
    await screen.untilTotalsAre("fresh");
    assert.deepEqual(await page.evaluate(misfits), [], `the screen, ${width} pixels wide`);
    await page.route("**/api/**", (route) => route.abort());
    await screen.timePasses();
    await screen.untilTotalsAre("stale");
    assert.deepEqual(await page.evaluate(misfits), [], `the screen in an outage, ${width} pixels wide`);
    await page.context().close();
  }
});

// Firefox 78 knows ECMAScript 2020; it has no logical assignment (`||=`), which Safari 14 and Chrome 87 know.
test("no script that is served has syntax that is newer than Firefox 78", async () => {
  const served = new Map();
  async function read(url) {
    if (served.has(url)) return;
    const text = await (await fetch(url)).text();
    served.set(url, text);
    // All three know the separators in numbers, which are of 2021.
    const plain = text.replace(/(?<=\d)_(?=\d)/g, "");
    let program;
    assert.doesNotThrow(() => (program = parse(plain, { ecmaVersion: 2020, sourceType: "module" })), url);
    for (const { source } of program.body) if (source) await read(new URL(source.value, url).href);
  }
  for (const path of ["/", "/screen"]) {
    const document = await (await fetch(on.yelb.url + path)).text();
    const scripts = [...document.matchAll(/<script[^>]*>|<link rel="modulepreload"[^>]*>/g)];
    assert.ok(scripts.length > 5, path);
    for (const [tag] of scripts) await read(new URL(tag.match(/(?:src|href)="([^"]+)"/)[1], on.yelb.url + path).href);
  }
  const names = [...served.keys()].map((url) => url.split("/").pop());
  assert.deepEqual(names.sort(), (await readdir(SCRIPTS)).filter((name) => name.endsWith(".js")).sort());
});
