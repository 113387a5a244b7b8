// Connects the modules of the big screen. The screen shows the result on a projector and has no controls.

import { announcer } from "./announce.js";
import { answers } from "./answers.js";
import { getStats } from "./api.js";
import { savedKeepsKeys, saveKeepsKeys } from "./memory.js";
import { pace } from "./pace.js";
import { result, standingsOf } from "./result.js";
import { outageBanner } from "./status.js";
import { currentTotals, stateOf, sum } from "./totals.js";
import { clock, down, number, roughly } from "./words.js";

const choices = [...document.querySelectorAll(".row")].map((row) => ({
  id: row.dataset.restaurant,
  name: row.querySelector(".row__name").textContent.trim(),
}));
const chart = result(document.querySelector(".room"));
const rate = pace(document.querySelector(".pace"));
const hosts = answers(document.querySelector(".hosts"), rate.remember);
const [pageViews, total] = ["#page-views", ".top__total"].map((part) => document.querySelector(part));

/** @type {import("./totals.js").Totals} */
let now = { counts: null, asOf: 0, isOld: false, pace: 0, trouble: null };
/** Whether pages keep votes in an outage. They do so if the app server supports `Idempotency-Key`. */
let areKept = savedKeepsKeys() === true;
/** The sum of the votes when the last outage was noticed. */
let before = 0;
let hasAsked = false;

const banner = outageBanner(document.querySelector("#banner"), {
  announce: announcer(document.querySelector("#announcements")),
  during() {
    const then = areKept ? "Keep voting: votes are kept." : "Votes may not be counted now.";
    return `${then}\n${now.counts ? `Totals are from ${clock(now.asOf)}.` : "No totals yet."}`;
  },
  after() {
    const since = now.counts ? sum(now.counts) - before : 0;
    return since > 0 ? `Votes count again.\n${number(since)} counted since.` : "Votes count again.";
  },
  otherwise: () => null,
  onDraw() {},
});

const totals = currentTotals(choices.map(({ id }) => id), {
  onChange(totals) {
    now = totals;
    if (now.host !== undefined) heard(now.host);
    draw();
  },
  onViews: showViews,
  isAwaited: () => false,
});

/**
 * @param {number | null} views null if they are not known
 * @param {boolean} isDown whether their store is down
 */
function showViews(views, isDown) {
  if (isDown) pageViews.textContent = "Page-view store down";
  else if (views !== null) pageViews.textContent = `${roughly(views)} page view${views === 1 ? "" : "s"}`;
}

/** @param {import("./api.js").Host} host of the app server that the totals are from */
async function heard(host) {
  areKept = host !== null;
  saveKeepsKeys(areKept);
  if (areKept || hasAsked) return;
  // The original's app server gives its name only in its stats. A request for the stats counts a page view, so they are asked
  // for once.
  hasAsked = true;
  try {
    const { name, pageviews } = await getStats();
    hosts.heard(name);
    showViews(pageviews, false);
  } catch {
    hasAsked = false;
  }
}

function draw() {
  document.documentElement.dataset.state = stateOf(now);
  if (now.trouble) before = now.counts ? sum(now.counts) : 0;
  banner.update(now.trouble && down(now.trouble, "Database"), now.counts !== null);
  if (!now.counts) return;
  const standings = standingsOf(choices, now.counts);
  chart.show(standings);
  total.firstElementChild.textContent = number(standings.total);
  total.lastElementChild.textContent = standings.total === 1 ? "vote" : "votes";
  // Animations start after the first result, so that the first result appears at once.
  requestAnimationFrame(() => document.documentElement.toggleAttribute("data-moves", true));
}

draw();
setInterval(() => rate.tick({ total: now.counts && sum(now.counts), asOf: now.asOf, isDown: now.trouble !== null }), 1_000);
hosts.begin();
totals.begin();
