// A browser of 2020: Safari 14, as near as another browser comes to it.

import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import { test } from "node:test";
import { parse } from "acorn";
import { complaintsOf, newLiveVisitor } from "./support/browser.js";
import { startYelb } from "./support/servers.js";
import { stage } from "./support/stage.js";
import { YelbPage } from "./support/yelb-page.js";

const SCRIPTS = new URL("../../static/", import.meta.url);

const on = stage(startYelb);

test("votes are counted without the functions that Safari 14 lacks", async () => {
  const page = await newLiveVisitor(on.browser);
  const complaints = complaintsOf(page);
  await page.addInitScript(() => {
    const lacking = [
      [globalThis, "structuredClone", "BroadcastChannel", "requestIdleCallback", "scheduler", "CompressionStream"],
      [AbortSignal, "timeout", "any", "abort"],
      [AbortSignal.prototype, "throwIfAborted", "reason"],
      [Object, "hasOwn", "groupBy"],
      [Map, "groupBy"],
      [Promise, "withResolvers", "try"],
      [Array, "fromAsync"],
      [Array.prototype, "at", "findLast", "findLastIndex", "toSorted", "toReversed", "toSpliced", "with"],
      [String.prototype, "at", "isWellFormed", "toWellFormed"],
      [Set.prototype, "union", "intersection", "difference", "isSubsetOf"],
      [globalThis.Iterator?.prototype ?? {}, "map", "filter", "toArray", "some", "find", "forEach"],
      [Crypto.prototype, "randomUUID"],
      [Element.prototype, "checkVisibility", "moveBefore"],
      [Document.prototype, "startViewTransition"],
      [Navigator.prototype, "locks", "scheduling"],
      [Response, "json"],
    ];
    for (const [of, ...names] of lacking) for (const name of names) delete of[name];
  });
  await page.goto(on.yelb.url);
  const shown = new YelbPage(page);
  await shown.untilTotalsAre("fresh");
  assert.equal(await page.evaluate(() => typeof AbortSignal.timeout), "undefined");
  for (const id of ["ihop", "outback"]) {
    const before = (await shown.chart())[id].count;
    await shown.button(id).click();
    await shown.untilCounted(id, before + 1);
    await shown.untilSays(shown.outcome(id), "Counted at");
  }
  assert.deepEqual(complaints, []);
});

// ECMAScript 2021 is what it knows.
test("no script has syntax that is newer than Safari 14", async () => {
  const names = (await readdir(SCRIPTS)).filter((name) => name.endsWith(".js"));
  assert.ok(names.length > 5);
  for (const name of names) {
    const text = await readFile(new URL(name, SCRIPTS), "utf8");
    assert.doesNotThrow(() => parse(text, { ecmaVersion: 2021, sourceType: "module" }), name);
  }
});
