// The app servers' hosts and the number of answers of each, as yelb-ui has counted them.

import { checkedName, isCount } from "./api.js";
import { length } from "./result.js";
import { readEvents } from "./stream.js";
import { roughly } from "./words.js";

const TRY_AGAIN_AFTER = 3_000;
/** The middle of a longer name is not shown, because the names of replicas differ at the end. */
const LONGEST = 20;

/**
 * @param {Element} root
 * @param {(votes: number[]) => void} onVotes the votes of the last seconds, as far as the page's server knows them
 */
export function answers(root, onVotes) {
  let isKnown = false;

  const stream = whileVisible("screen/answers", ({ hosts, votes }) => {
    const known = hosts.map(([name, answers]) => ({ name: checkedName(name), answers }));
    if (known.length > 0) {
      isKnown = true;
      show(root, known);
    }
    onVotes(votes.filter(isCount));
  });

  return {
    begin: stream.begin,

    /** @param {string} name of an app server that says it only when it is asked */
    heard(name) {
      if (!isKnown) show(root, [{ name, answers: null }]);
    },
  };
}

/**
 * Follows a stream, and opens it anew when it ends, for as long as the page is visible.
 * @param {string} path
 * @param {(data: any) => void} onData
 */
function whileVisible(path, onData) {
  let isFollowing = false;
  let ending = new AbortController();

  async function follow() {
    if (isFollowing) return;
    isFollowing = true;
    while (!document.hidden) {
      ending = new AbortController();
      await readEvents(path, ending, { onData }).catch(() => {});
      await new Promise((resolve) => setTimeout(resolve, TRY_AGAIN_AFTER));
    }
    isFollowing = false;
  }

  return {
    begin() {
      document.addEventListener("visibilitychange", () => (document.hidden ? ending.abort() : follow()));
      // When the network is back, the old stream may be dead although it looks open. End it; `follow` opens the next one.
      addEventListener("online", () => ending.abort());
      follow();
    },
  };
}

/**
 * @param {Element} root
 * @param {{name: string, answers: number | null}[]} hosts the newest first
 */
function show(root, hosts) {
  const rows = [...root.querySelectorAll(".host")];
  const most = Math.max(...hosts.map(({ answers }) => answers ?? 0));
  rows.forEach((row, place) => {
    const host = hosts[place];
    row.hidden = host === undefined;
    if (host === undefined) return;
    const [name, bar, answers] = row.children;
    name.textContent = shortened(host.name);
    bar.style.setProperty("--length", length(host.answers ?? 0, most));
    answers.textContent = host.answers === null ? "" : roughly(host.answers);
  });
  root.querySelector(".hosts__more").textContent = hosts.length > rows.length ? `these and ${hosts.length - rows.length} more` : "";
}

/** @param {string} host */
function shortened(host) {
  // The domain is the same for all hosts, so it is not shown.
  const name = /^[\d.:]+$/.test(host) ? host : host.split(".")[0];
  return name.length <= LONGEST ? name : `${name.slice(0, LONGEST / 2 - 1)}…${name.slice(-LONGEST / 2)}`;
}
