// How the page puts things.

const numbers = new Intl.NumberFormat("en");

/** @param {number} count */
export function number(count) {
  return numbers.format(count);
}

/** @param {number} count */
export function votes(count) {
  return count === 1 ? "1 vote" : `${number(count)} votes`;
}

/**
 * Rounded, but never to the nothing or the everything that it is not.
 * @param {number} count
 * @param {number} total
 */
export function share(count, total) {
  const percent = total === 0 ? 0 : (100 * count) / total;
  if (percent > 0 && percent < 0.5) return "<1%";
  if (percent < 100 && percent >= 99.5) return ">99%";
  return `${Math.round(percent)}%`;
}

/** @param {number} milliseconds */
export function duration(milliseconds) {
  const seconds = Math.max(0, Math.round(milliseconds / 1000));
  if (seconds < 60) return plural(seconds, "second");
  if (seconds < 3600) return plural(Math.floor(seconds / 60), "minute");
  if (seconds < 86_400) return plural(Math.floor(seconds / 3600), "hour");
  return plural(Math.floor(seconds / 86_400), "day");
}

/**
 * @param {number} count
 * @param {string} unit
 */
function plural(count, unit) {
  return `${number(count)} ${unit}${count === 1 ? "" : "s"}`;
}

/**
 * A sentence that says why something is missing.
 * @param {import("./api.js").Trouble} trouble
 * @param {string} store what the app server keeps the thing in
 */
export function reason({ cause, status }, store) {
  switch (cause) {
    case "page-server":
      return "The server of this page cannot be reached.";
    case "silence":
      return "No answer came in time.";
    case "app-server":
      return "The app server cannot be reached.";
    case "store":
      return `The ${store} is away.`;
    case "refusal":
      return `The app server answered with an error (${status}).`;
    default:
      return "The answer was not an app server’s.";
  }
}
