// The big screen as a room sees it.

import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { complaintsOf, newLiveVisitor } from "./browser.js";
import { YelbPage } from "./yelb-page.js";

const READER = await readFile(createRequire(import.meta.url).resolve("jsqr"), "utf8");

export class Screen extends YelbPage {
  constructor(page) {
    super(page);
    this.total = page.locator(".top__total");
    this.code = page.locator(".join__code:visible");
    this.address = page.locator(".join__address:visible");
    this.rate = page.locator(".pace__now b");
    this.hosts = page.locator(".host:visible");
  }

  /** What a phone reads from the picture of the code. */
  async decoded() {
    const picture = await this.code.screenshot({ animations: "disabled" });
    const reader = await this.page.context().browser().newPage();
    await reader.evaluate(READER);
    const text = await reader.evaluate(async (base64) => {
      const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
      const image = await createImageBitmap(new Blob([bytes]));
      const canvas = new OffscreenCanvas(image.width, image.height).getContext("2d");
      canvas.drawImage(image, 0, 0);
      const { data, width, height } = canvas.getImageData(0, 0, image.width, image.height);
      return globalThis.jsQR(data, width, height)?.data;
    }, picture.toString("base64"));
    await reader.close();
    return text;
  }
}

/**
 * Opens the screen of a site, and notes what it asks for.
 * @param {import("playwright-core").Browser} browser
 * @param {string} site
 * @param {import("playwright-core").BrowserContextOptions} [options]
 * @param {(page: import("playwright-core").Page) => Promise<void>} [prepare]
 */
export async function openScreen(browser, site, options, prepare = async () => {}) {
  const page = await newLiveVisitor(browser, options);
  await prepare(page);
  const complaints = complaintsOf(page);
  const asked = [];
  page.on("request", (request) => asked.push(new URL(request.url())));
  await page.goto(`${site}/screen`);
  return { page, complaints, asked, screen: new Screen(page) };
}

export const withoutStream = (page) => page.route("**/api/stream", (route) => route.fulfill({ status: 204 }));
