// What talks to what on the page. Each module has one reason to change; this one has the map.

import { announcer } from "./announce.js";
import { Ballot } from "./ballot.js";
import { Standings } from "./standings.js";
import { Visit } from "./visit.js";

const announce = announcer(document.querySelector("#announcements"));
const visit = new Visit(document.querySelector("#page-views"), document.querySelector("#app-server"));
const standings = new Standings(document.querySelector(".standings"), {
  announce,
  // What answers after an outage may be another app server.
  onRecovery: () => visit.nameAppServer(),
});

for (const card of document.querySelectorAll(".ballot")) {
  new Ballot(card, { announce, onCounted: (id, count) => standings.voteCounted(id, count) });
}
visit.begin();
standings.begin();
