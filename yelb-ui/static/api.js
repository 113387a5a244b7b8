// The app server's API over HTTP. A call resolves to a checked value or rejects with a `Trouble`: nothing that another
// server says in the app server's place (a proxy's error page, say) gets any further.

/** Longer than any limit of the servers, so that the one that knows what is wrong gets to say so. */
const TIME_LIMIT = 10_000;

/**
 * What went wrong, as far as it can be told from here:
 * - `page-server`: no connection to the server that this page came from
 * - `silence`: no answer in time
 * - `app-server`: a proxy cannot reach the app server
 * - `store`: the app server cannot reach the store that it needs
 * - `refusal`: another error, told by its status
 * - `nonsense`: an answer, but not one of an app server
 * @typedef {"page-server" | "silence" | "app-server" | "store" | "refusal" | "nonsense"} Cause
 */

export class Trouble extends Error {
  /**
   * @param {Cause} cause
   * @param {{status?: number, retryAfter?: number}} [answer] `retryAfter` in milliseconds
   */
  constructor(cause, { status = 0, retryAfter = 0 } = {}) {
    super(cause);
    this.cause = cause;
    this.status = status;
    this.retryAfter = retryAfter;
  }
}

/**
 * The count of each restaurant. Restaurants that are not on this page are left out.
 * @param {string[]} ids the restaurants of this page
 * @returns {Promise<Map<string, number>>}
 */
export async function getVotes(ids) {
  const rows = parsed(await ask("getvotes"));
  if (!Array.isArray(rows)) throw new Trouble("nonsense");
  const values = new Map(rows.map((row) => [row?.name, row?.value]));
  return new Map(ids.map((id) => [id, checkedCount(values.get(id))]));
}

/**
 * Counts a view of the page.
 * @returns {Promise<{hostname: string, pageviews: number}>}
 */
export async function getStats() {
  const stats = parsed(await ask("getstats"));
  return { hostname: checkedName(stats?.hostname), pageviews: checkedCount(stats?.pageviews) };
}

/** @returns {Promise<string>} the name of the app server that answers */
export async function getHostname() {
  return checkedName((await ask("hostname")).trim());
}

/**
 * A `GET` that counts, because the original's app server knows no other way to vote.
 * @param {string} id
 * @param {string} key names this vote: however often it is sent with the same key, it is counted once. An app server
 *   that knows no keys ignores it.
 * @returns {Promise<number>} the restaurant's new count
 */
export async function castVote(id, key) {
  const text = (await ask(encodeURIComponent(id), { "Idempotency-Key": key })).trim();
  return checkedCount(/^\d+$/.test(text) ? Number(text) : NaN);
}

/**
 * @param {string} path below `api/`
 * @param {Record<string, string>} [headers]
 * @returns {Promise<string>} the body of a successful answer
 */
async function ask(path, headers = {}) {
  let response, text;
  try {
    response = await fetch(`api/${path}`, {
      headers,
      // Not from the cache, and not in line behind an equal request for the sake of the cache either.
      cache: "no-store",
      signal: AbortSignal.timeout(TIME_LIMIT),
    });
    text = await response.text();
  } catch (error) {
    throw new Trouble(error.name === "TimeoutError" ? "silence" : "page-server");
  }
  if (!response.ok) {
    throw new Trouble(causeOf(response), { status: response.status, retryAfter: retryAfterOf(response) });
  }
  return text;
}

/**
 * The app server explains itself in JSON. A 503 in another form comes from what stands in front of it.
 * @param {Response} response
 * @returns {Cause}
 */
function causeOf({ status, headers }) {
  if (status === 502 || status === 504) return "app-server";
  if (status !== 503) return "refusal";
  return /json/.test(headers.get("Content-Type") ?? "") ? "store" : "app-server";
}

/** @param {Response} response */
function retryAfterOf({ headers }) {
  const seconds = Number(headers.get("Retry-After"));
  return seconds > 0 ? seconds * 1000 : 0;
}

/** @param {string} text */
function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    throw new Trouble("nonsense");
  }
}

/** @param {unknown} value */
function checkedCount(value) {
  if (!isCount(value)) throw new Trouble("nonsense");
  return value;
}

/** @param {unknown} value */
function checkedName(value) {
  // Longer than any host name is, and markup never is one.
  if (typeof value !== "string" || !/^[^\s<>]{1,255}$/.test(value)) throw new Trouble("nonsense");
  return value;
}

/**
 * @param {unknown} value
 * @returns {value is number}
 */
export function isCount(value) {
  return Number.isSafeInteger(value) && /** @type {number} */ (value) >= 0;
}
