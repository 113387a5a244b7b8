// The votes per second over the last two minutes.

const SECONDS = 120;
/** A point is the mean of so many seconds, because reads of the totals may come only every few seconds. */
const SMOOTH_OVER = 6;
/** The figure is the mean of so many seconds. */
const FIGURE_OVER = 10;
/** The least peak of the chart's scale, so that few votes do not fill the chart. */
const LEAST_PEAK = 5;
const HEIGHT = 60;
/** After a longer pause between two ticks, the page was not running: the machine slept, say. */
const LONGEST_TICK = 5;

/** @typedef {{votes: number, isDown: boolean} | null} Second null if nothing is known of it */

/** @param {Element} root */
export function pace(root) {
  /** @type {Second[]} the newest last */
  let seconds = Array(SECONDS).fill(null);
  /** The last second that is in the list, since 1970. */
  let newest = thisSecond();
  /** Null if it is not known what the total was in that second. */
  let lastTotal = null;
  /** Totals from before say nothing about the seconds since then. */
  let knownFrom = 0;

  /** @returns {Second} what has come in each of the seconds that passed */
  function since(passed, { total, asOf, isDown }) {
    if (document.hidden || passed > LONGEST_TICK) knownFrom = Date.now();
    const isSeen = !document.hidden && (isDown || (total !== null && asOf >= knownFrom));
    const before = lastTotal;
    // What was counted in an outage, or unseen, came in none of its seconds that is known.
    lastTotal = isSeen && !isDown ? total : null;
    if (!isSeen) return null;
    if (isDown) return { votes: 0, isDown };
    return before === null ? null : { votes: Math.max(0, total - before) / passed, isDown };
  }

  return {
    /** @param {number[]} votes of the last seconds, the newest last, for those of which nothing is known here */
    remember(votes) {
      const toNewest = votes.length - SECONDS - (thisSecond() - newest);
      seconds = seconds.map((second, at) => {
        const before = votes[toNewest + at];
        return second ?? (before === undefined ? null : { votes: before, isDown: false });
      });
    },

    /**
     * Each second.
     * @param {object} now
     * @param {number | null} now.total of the votes
     * @param {number} now.asOf when it was read, in milliseconds since 1970
     * @param {boolean} now.isDown whether it cannot be read now
     */
    tick(now) {
      const passed = Math.min(SECONDS, thisSecond() - newest);
      if (passed < 1) return;
      newest = thisSecond();
      seconds = [...seconds, ...Array(passed).fill(since(passed, now))].slice(-SECONDS);
      draw(root, seconds);
    },
  };
}

/**
 * @param {Element} root
 * @param {Second[]} seconds
 */
function draw(root, seconds) {
  const part = (name) => root.querySelector(`.pace__${name}`);
  const points = seconds.map((second, at) => second && mean(seconds.slice(Math.max(0, at - SMOOTH_OVER + 1), at + 1)));
  const peak = Math.max(0, ...points);
  const top = Math.max(LEAST_PEAK, peak);
  const y = (votes) => (HEIGHT - (votes / top) * (HEIGHT - 2)).toFixed(1);
  const lines = knownRuns(points).map(({ first, run }) => {
    const line = `M${run.map((votes, at) => `${first + at} ${y(votes)}`).join("L")}`;
    return { line, area: `${line}V${HEIGHT}H${first}z` };
  });
  part("line").setAttribute("d", lines.map(({ line }) => line).join(""));
  part("area").setAttribute("d", lines.map(({ area }) => area).join(""));
  const gaps = seconds.map((second, at) => (second?.isDown ? `M${at - 1} 0h1v${HEIGHT}h-1z` : ""));
  part("gap").setAttribute("d", gaps.join(""));
  if (lines.length === 0) return;
  const last = seconds.slice(-FIGURE_OVER);
  const now = last.some(Boolean) ? inFigures(mean(last)) : "–";
  root.querySelector(".figure").textContent = now;
  part("chart").setAttribute("aria-label", `Votes a second over the last two minutes: ${now} now, ${inFigures(peak)} at most`);
}

/**
 * The parts of the line, which has a gap where nothing is known.
 * @param {(number | null)[]} points
 */
function knownRuns(points) {
  const runs = [];
  points.forEach((point, at) => {
    if (point === null) return;
    if (at === 0 || points[at - 1] === null) runs.push({ first: at, run: [] });
    runs[runs.length - 1].run.push(point);
  });
  return runs;
}

function thisSecond() {
  return Math.floor(Date.now() / 1000);
}

/** @param {Second[]} seconds */
function mean(seconds) {
  const known = seconds.filter((second) => second !== null);
  return known.length === 0 ? 0 : known.reduce((sum, { votes }) => sum + votes, 0) / known.length;
}

/** @param {number} votes a second */
function inFigures(votes) {
  return votes > 0 && votes < 1 ? `${Math.max(0.1, votes).toFixed(1)}` : `${Math.round(votes)}`;
}
