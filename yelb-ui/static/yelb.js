// Connects the modules of the page. Each module has one responsibility; this one has the map.

import { announcer } from "./announce.js";
import { card } from "./card.js";
import { result, standingsOf } from "./result.js";
import { status } from "./status.js";
import { currentTotals } from "./totals.js";
import { visit } from "./visit.js";
import { voting } from "./voting.js";
import { number, votes } from "./words.js";

const announce = announcer(document.querySelector("#announcements"));
const thisVisit = visit();
const slot = status(announce);
const chart = result(document.querySelector(".result"));
const lead = document.querySelector(".welcome__total");

const cards = [...document.querySelectorAll(".ballot")].map((element) =>
  card(element, {
    onVote: (id) => own.cast(id),
    onSendAgain: (id) => own.sendUnsure(id),
    onForget: (id) => own.forgetUnsure(id),
  }),
);
const ids = cards.map(({ id }) => id);
const nameOf = (id) => cards.find((card) => card.id === id).name;

/** @type {import("./totals.js").Totals} */
let now = { counts: null, asOf: 0, isOld: false, pace: 0, trouble: null };
let votesTrouble = null;

/** What becomes of a vote that was not confirmed. @type {Record<string, string>} */
const WHAT_THEN = {
  waiting: "It is kept and sent again.",
  kept: "It is kept until an app server answers.",
  unsure: "It may not have been counted.",
};

const own = voting(ids, {
  onCounted({ id, failed }, count, host) {
    // Of votes that are sent again the banner tells, and one sentence is enough.
    if (!failed) announce(`Vote for ${nameOf(id)} counted, ${votes(count)}`);
    thisVisit.voted(host);
    totals.voteCounted(id, count);
  },
  onUnconfirmed(id, fate) {
    announce(`Your vote for ${nameOf(id)} was not confirmed. ${WHAT_THEN[fate]}`);
    // Is it only the vote, or everything? If it is only the vote, the read's answer has it sent again.
    totals.check();
  },
  onChange: tell,
});

const totals = currentTotals(ids, {
  onChange(totals) {
    const wasDown = now.trouble !== null;
    now = totals;
    if (totals.host !== undefined) own.heard(totals.host);
    draw();
    if (totals.host !== undefined) appServerWorks(totals.host, wasDown);
  },
  onViews: thisVisit.told,
  isAwaited: () => own.waiting > 0,
});

async function appServerWorks(host, wasDown) {
  if (wasDown && now.trouble === null) thisVisit.recovered(host);
  const trouble = await own.repeat();
  if (trouble !== undefined) votesTrouble = trouble;
  tell();
}

/** What becomes of votes, and of the totals' age. */
function tell() {
  slot.update({ totals: now, votesTrouble, own });
  for (const card of cards) card.tell(own.of(card.id), slot.keeps);
}

function draw() {
  tell();
  if (!now.counts) return;
  const standings = standingsOf(cards, now.counts);
  const { total, most } = standings;
  cards.forEach((card, place) => {
    const { count, rank } = standings.standings[place];
    card.show({ count, total, most, isFirst: rank === 0 && total > 0 });
  });
  chart.show(standings);
  lead.firstElementChild.textContent = number(total);
  lead.lastElementChild.textContent = total === 1 ? "vote" : "votes";
  // Animations start after the first result, so that the first result appears at once.
  requestAnimationFrame(() => document.documentElement.toggleAttribute("data-moves", true));
}

tell();
thisVisit.begin();
totals.begin();
