// The app server's API over HTTP. A call resolves to a checked value and the host that answered, or rejects with a
// `Trouble`: nothing that another server says in the app server's place (a proxy's error page, say) gets any further.

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

/**
 * The app server's own word for its host, `Yelb-Host`. An app server that sends it counts a vote once however often the vote is
 * sent with the same key. The original's sends none.
 * @typedef {string | null} Host
 */

export class Trouble extends Error {
  /**
   * @param {Cause} cause
   * @param {{status?: number, retryAfter?: number, host?: Host}} [answer] `retryAfter` in milliseconds
   */
  constructor(cause, { status = 0, retryAfter = 0, host = null } = {}) {
    super(cause);
    this.cause = cause;
    this.status = status;
    this.retryAfter = retryAfter;
    this.host = host;
  }
}

/**
 * The count of each restaurant. Restaurants that are not on this page are left out.
 * @param {string[]} ids the restaurants of this page
 * @returns {Promise<{counts: Map<string, number>, host: Host}>}
 */
export async function getVotes(ids) {
  const { text, host } = await ask("getvotes");
  return { counts: checkedCounts(parsed(text), ids), host };
}

/**
 * Counts a view of the page.
 * @returns {Promise<{name: string, pageviews: number}>} `name` is the app server's host
 */
export async function getStats() {
  const stats = parsed((await ask("getstats")).text);
  return { name: checkedName(stats?.hostname), pageviews: checkedCount(stats?.pageviews) };
}

/** @returns {Promise<string>} the name of the app server's host */
export async function getHostname() {
  return checkedName((await ask("hostname")).text.trim());
}

/**
 * A `GET` that counts, because the original's app server knows no other way to vote.
 * @param {string} id
 * @param {string} key names this vote: however often it is sent with the same key, it is counted once. An app server
 *   that knows no keys ignores it.
 * @returns {Promise<{count: number, host: Host}>} the restaurant's new count
 */
export async function castVote(id, key) {
  const { text, host } = await ask(encodeURIComponent(id), { "Idempotency-Key": key });
  return { count: checkedCount(/^\d+$/.test(text.trim()) ? Number(text) : NaN), host };
}

/**
 * Where the API is, without the name and the password that the page's address may have: `fetch` refuses an address with them.
 * The browser knows them from the page, and sends them where a login is asked for.
 * @param {string} path below the page's
 * @returns {string}
 */
export function addressOf(path) {
  const address = new URL(path, document.baseURI);
  address.username = "";
  address.password = "";
  return address.href;
}

/**
 * @param {string} path below `api/`
 * @param {Record<string, string>} [headers]
 * @returns {Promise<{text: string, host: Host}>} the body of a successful answer
 */
async function ask(path, headers = {}) {
  // Not `AbortSignal.timeout`, which Safari has since version 16.
  const limit = new AbortController();
  const timer = setTimeout(() => limit.abort(), TIME_LIMIT);
  let response, text;
  try {
    // Not from the cache, and not in line behind an equal request for the sake of the cache either.
    response = await fetch(addressOf(`api/${path}`), { headers, cache: "no-store", signal: limit.signal });
    text = await response.text();
  } catch {
    throw new Trouble(limit.signal.aborted ? "silence" : "page-server");
  } finally {
    clearTimeout(timer);
  }
  const host = hostOf(response);
  if (!response.ok) {
    throw new Trouble(causeOf(response), { status: response.status, retryAfter: retryAfterOf(response), host });
  }
  return { text, host };
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

/**
 * @param {Response} response
 * @returns {Host}
 */
function hostOf({ headers }) {
  const name = headers.get("Yelb-Host");
  return isName(name) ? name : null;
}

/** @param {string} text */
export function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    throw new Trouble("nonsense");
  }
}

/**
 * @param {unknown} rows as `getvotes` and the stream have them
 * @param {string[]} ids
 */
export function checkedCounts(rows, ids) {
  if (!Array.isArray(rows)) throw new Trouble("nonsense");
  const values = new Map(rows.map((row) => [row?.name, row?.value]));
  return new Map(ids.map((id) => [id, checkedCount(values.get(id))]));
}

/** @param {unknown} value */
function checkedCount(value) {
  if (!isCount(value)) throw new Trouble("nonsense");
  return value;
}

/** @param {unknown} value */
export function checkedName(value) {
  if (!isName(value)) throw new Trouble("nonsense");
  return value;
}

/** @param {unknown} value */
function isName(value) {
  // Longer than any host name is, and markup never is one.
  return typeof value === "string" && /^[^\s<>]{1,255}$/.test(value);
}

/**
 * @param {unknown} value
 * @returns {value is number}
 */
export function isCount(value) {
  return Number.isSafeInteger(value) && /** @type {number} */ (value) >= 0;
}
