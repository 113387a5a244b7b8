// The votes per second over the last two minutes.

const SECONDS = 120;
/** A point is the mean of so many seconds, because reads of the totals may come only every few seconds. */
const SMOOTH_OVER = 6;
/** The figure is the mean of so many seconds. */
const FIGURE_OVER = 10;
/** The least peak of the chart's scale, so that few votes do not fill the chart. */
const LEAST_PEAK = 5;
const HEIGHT = 60;

/** @typedef {{votes: number, isDown: boolean} | null} Second null if nothing is known of it */

/** @param {Element} root */
export function pace(root) {
  const part = (name) => root.querySelector(`.pace__${name}`);
  const figure = root.querySelector(".figure");
  /** @type {Second[]} the newest last */
  let seconds = Array(SECONDS).fill(null);
  /** The last second that is in the list, since 1970. */
  let newest = thisSecond();
  let lastTotal = null;

  function draw() {
    const points = seconds.map((second, at) => second && mean(seconds.slice(Math.max(0, at - SMOOTH_OVER + 1), at + 1)));
    const peak = Math.max(LEAST_PEAK, ...points);
    const y = (votes) => (HEIGHT - (votes / peak) * (HEIGHT - 2)).toFixed(1);
    const first = points.findIndex((point) => point !== null);
    if (first < 0) return;
    const line = `M${points.slice(first).map((votes, at) => `${first + at} ${y(votes)}`).join("L")}`;
    part("line").setAttribute("d", line);
    part("area").setAttribute("d", `${line}V${HEIGHT}H${first}z`);
    const gaps = seconds.map((second, at) => (second?.isDown ? `M${at - 1} 0h1v${HEIGHT}h-1z` : ""));
    part("gap").setAttribute("d", gaps.join(""));
    const now = mean(seconds.slice(-FIGURE_OVER));
    figure.textContent = inFigures(now);
    part("chart").setAttribute("aria-label", `Votes a second over the last two minutes: ${inFigures(now)} now, ${inFigures(peak)} at most`);
  }

  return {
    /** @param {number[]} votes of the last seconds, the newest last, for those of which nothing is known here */
    remember(votes) {
      seconds = seconds.map((second, at) => {
        const before = votes[votes.length - SECONDS + at];
        return second ?? (before === undefined ? null : { votes: before, isDown: false });
      });
    },

    /**
     * Each second.
     * @param {number | null} total of the votes
     * @param {boolean} isDown whether it cannot be read now
     */
    tick(total, isDown) {
      const now = thisSecond();
      const passed = Math.min(SECONDS, now - newest);
      if (passed < 1) return;
      newest = now;
      const votes = total === null || lastTotal === null ? 0 : Math.max(0, total - lastTotal) / passed;
      // Before the first totals, nothing is known of this second, except an outage.
      const second = total === null && !isDown ? null : { votes: isDown ? 0 : votes, isDown };
      seconds = [...seconds, ...Array(passed).fill(second)].slice(-SECONDS);
      // The votes of an outage cannot be assigned to seconds, so they are not shown.
      lastTotal = isDown ? null : total;
      draw();
    },
  };
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
