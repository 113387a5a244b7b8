// Answers that overtake each other, and how counts are put.

import assert from "node:assert/strict";
import { test } from "node:test";
import { ordered } from "../../static/order.js";
import { age, number, share, stopwatch } from "../../static/words.js";

/** A read that is asked and answered at once. */
function read(totals, counts) {
  const ticket = totals.readBegins();
  if (totals.readEnds(ticket)) totals.readAnswers(ticket, new Map(Object.entries(counts)));
}

const shown = (totals) => totals.counts && Object.fromEntries(totals.counts);

test("nothing is shown until all counts have been seen", () => {
  const totals = ordered();
  totals.voteAnswers("ihop", 5);
  assert.equal(shown(totals), null);
  read(totals, { ihop: 5, outback: 1 });
  assert.deepEqual(shown(totals), { ihop: 5, outback: 1 });
});

test("votes that are answered out of order never take the chart back", () => {
  const totals = ordered();
  read(totals, { ihop: 5 });
  totals.voteAnswers("ihop", 7);
  totals.voteAnswers("ihop", 6);
  assert.deepEqual(shown(totals), { ihop: 7 });
});

test("a read that began before a vote was answered cannot hide the vote", () => {
  const totals = ordered();
  read(totals, { ihop: 5, outback: 1 });
  const ticket = totals.readBegins();
  totals.voteAnswers("ihop", 6);
  totals.readEnds(ticket);
  totals.readAnswers(ticket, new Map([["ihop", 5], ["outback", 2]]));
  assert.deepEqual(shown(totals), { ihop: 6, outback: 2 });
});

test("a read that began after the last vote's answer holds, even if it is lower", () => {
  const totals = ordered();
  read(totals, { ihop: 5 });
  totals.voteAnswers("ihop", 6);
  read(totals, { ihop: 0 });
  assert.deepEqual(shown(totals), { ihop: 0 });
});

test("a read that ends after a later one is of no interest", () => {
  const totals = ordered();
  const early = totals.readBegins();
  read(totals, { ihop: 6 });
  assert.equal(totals.readEnds(early), false);
});

test("remembered totals give way to read ones", () => {
  const totals = ordered();
  totals.remember(new Map([["ihop", 9]]));
  read(totals, { ihop: 2 });
  totals.remember(new Map([["ihop", 9]]));
  assert.deepEqual(shown(totals), { ihop: 2 });
});

test("shares are rounded, but a vote is never nothing and never everything", () => {
  assert.deepEqual(
    [share(0, 0), share(0, 9), share(1, 3), share(2, 3), share(9, 9), share(1, 1000), share(999, 1000)],
    ["0%", "0%", "33%", "67%", "100%", "<1%", ">99%"],
  );
});

test("an outage is timed as by a stopwatch", () => {
  assert.deepEqual(
    [-5, 900, 12_000, 61_000, 725_000, 3_600_000, 90_061_000].map(stopwatch),
    ["0:00", "0:00", "0:12", "1:01", "12:05", "1:00:00", "25:01:01"],
  );
});

test("an age is told in one unit", () => {
  assert.deepEqual(
    [-5, 1_000, 59_000, 61_000, 7_200_000, 200_000_000].map(age),
    ["0 s", "1 s", "59 s", "1 min", "2 h", "2 d"],
  );
});

test("a count is exact for as long as its digits are read", () => {
  assert.deepEqual([0, 1_284, 99_999_999, 123_456_789, 2 ** 40].map(number), ["0", "1,284", "99,999,999", "123.5M", "1.1T"]);
});
