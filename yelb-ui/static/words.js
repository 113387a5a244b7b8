// The page's texts for numbers, times and failures.

const exact = new Intl.NumberFormat("en");
const UNITS = [
  [1e12, "T"],
  [1e9, "B"],
  [1e6, "M"],
];

/**
 * Exact for as long as people read each digit.
 * @param {number} count
 */
export function number(count) {
  return count < 1e8 ? exact.format(count) : short(count);
}

/**
 * For where there is little room.
 * @param {number} count
 */
export function roughly(count) {
  return count < 1e6 ? exact.format(count) : short(count);
}

/**
 * In four figures: 12.35M. Not by `notation: "compact"`, which Safari 14 does not know.
 * @param {number} count a million at least
 */
function short(count) {
  // Rounded before the unit is chosen: 999,999,999 is 1B.
  const rounded = Number(count.toPrecision(4));
  const [size, unit] = UNITS.find(([size]) => rounded >= size);
  return `${rounded / size}${unit}`;
}

/** @param {number} count */
export function votes(count) {
  return `${number(count)} vote${count === 1 ? "" : "s"}`;
}

/**
 * Rounded, but to 0 % or 100 % only if the value is exactly that.
 * @param {number} count
 * @param {number} total
 */
export function share(count, total) {
  const percent = total === 0 ? 0 : (100 * count) / total;
  if (percent > 0 && percent < 0.5) return "<1%";
  if (percent < 100 && percent >= 99.5) return ">99%";
  return `${Math.round(percent)}%`;
}

/**
 * The time of day, 14:32:07.
 * @param {number} at milliseconds since 1970
 */
export function clock(at) {
  return new Date(at).toLocaleTimeString("en-GB");
}

/**
 * As a stopwatch shows it: 0:47, 12:05, 1:00:00.
 * @param {number} milliseconds
 */
export function stopwatch(milliseconds) {
  const seconds = Math.max(0, Math.floor(milliseconds / 1000));
  const parts = [Math.floor(seconds / 60) % 60, seconds % 60];
  if (seconds >= 3600) parts.unshift(Math.floor(seconds / 3600));
  return parts.map((part, place) => (place === 0 ? part : `${part}`.padStart(2, "0"))).join(":");
}

/**
 * In the one unit that matters: 12 s, 3 min, 2 h, 5 d.
 * @param {number} milliseconds
 */
export function age(milliseconds) {
  const seconds = Math.max(0, Math.round(milliseconds / 1000));
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.floor(seconds / 86_400)} d`;
}

/**
 * What is down. The duration follows this text.
 * @param {import("./api.js").Trouble} trouble
 * @param {string} store what the app server keeps the thing in
 */
export function down({ cause, status }, store) {
  switch (cause) {
    case "page-server":
      return "No connection";
    case "silence":
      return "No answer";
    case "app-server":
      return "App server down";
    case "store":
      return `${store} down`;
    case "refusal":
      return `App server failing (${status})`;
    default:
      return "No app server";
  }
}
