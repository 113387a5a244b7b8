// A browser, and pages that take note of everything that a visitor's console would show.

import { existsSync } from "node:fs";
import { chromium } from "playwright-core";

const program = process.env.CHROMIUM ?? "/usr/bin/chromium";

const QUIET = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

/** @param {import("playwright-core").LaunchOptions} [options] */
export async function startBrowser(options) {
  if (!existsSync(program)) {
    throw new Error(`${program} is missing: install Debian's \`chromium\`, or name another one in $CHROMIUM`);
  }
  return chromium.launch({ executablePath: program, args: QUIET, ...options });
}

/**
 * A page of a visitor who has never been here. Its time flows as usual, and can be moved on.
 * @param {import("playwright-core").Browser} browser
 * @param {import("playwright-core").BrowserContextOptions} [options]
 */
export async function newLiveVisitor(browser, options) {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  page.setDefaultTimeout(30_000);
  await page.clock.install();
  return page;
}

/**
 * The same where there is no live stream: a test can then say what each read of the totals finds.
 * @param {import("playwright-core").Browser} browser
 * @param {import("playwright-core").BrowserContextOptions} [options]
 */
export async function newVisitor(browser, options) {
  const page = await newLiveVisitor(browser, options);
  await page.route("**/api/stream", (route) => route.fulfill({ status: 204 }));
  return page;
}

/**
 * As a browser has it whose tab is in the background, or in front again.
 * @param {import("playwright-core").Page} page
 * @param {boolean} hidden
 */
export async function look(page, hidden) {
  await page.evaluate((hidden) => {
    Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
    document.dispatchEvent(new Event("visibilitychange"));
  }, hidden);
}

/**
 * Everything that goes wrong on the page from now on.
 * @param {import("playwright-core").Page} page
 * @returns {string[]}
 */
export function complaintsOf(page) {
  const complaints = [];
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) complaints.push(`console: ${message.text()}`);
  });
  page.on("pageerror", (error) => complaints.push(`exception: ${error}`));
  page.on("requestfailed", (request) => complaints.push(`${request.url()}: ${request.failure()?.errorText}`));
  page.on("response", (response) => {
    if (response.status() >= 400) complaints.push(`${response.url()}: ${response.status()}`);
  });
  return complaints;
}

/** In the page: notes what moves, and how far. */
export function noteShifts() {
  globalThis.shifts = [];
  new PerformanceObserver((list) => {
    for (const shift of list.getEntries()) {
      const moved = shift.sources.map(({ node }) => node?.className?.baseVal ?? node?.className ?? node?.nodeName);
      globalThis.shifts.push(`${shift.value}: ${moved}`);
    }
  }).observe({ type: "layout-shift", buffered: true });
}
