// What the tests of a file run on.

import { after, before } from "node:test";
import { startBrowser } from "./browser.js";

/**
 * Starts servers and a browser before the first test of a file, and ends them after the last one.
 * @template T
 * @param {() => Promise<T & { stop(): Promise<void> }>} startServers
 * @returns {{ yelb: T, browser: import("playwright-core").Browser }} Both are there as soon as a test runs.
 */
export function stage(startServers) {
  const on = { yelb: undefined, browser: undefined };
  before(async () => {
    [on.yelb, on.browser] = await Promise.all([startServers(), startBrowser()]);
  });
  after(async () => {
    await on.browser?.close();
    await on.yelb?.stop();
  });
  return on;
}
