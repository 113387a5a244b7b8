// Which counts to show, when answers may overtake each other.
//
// A vote's answer and a read of all counts that were under way together say nothing about which is newer; the higher
// count is, since counts grow. Only a read that began after the last vote's answer may lower a count: then somebody has
// reset them.

export class Totals {
  /** @type {Map<string, number>} */
  #counts = new Map();
  #complete = false;
  /** Counts events, not time: all that matters is what came before what. */
  #clock = 0;
  #lastVote = 0;
  #lastRead = 0;

  /** @returns {Map<string, number> | null} null until all counts have been seen */
  get counts() {
    return this.#complete ? this.#counts : null;
  }

  /** @returns {number} a ticket to show when the read ends */
  readBegins() {
    return ++this.#clock;
  }

  /**
   * @param {number} ticket
   * @returns {boolean} false if a read that began later has ended already, so that this one is of no interest
   */
  readEnds(ticket) {
    if (ticket < this.#lastRead) return false;
    this.#lastRead = ticket;
    return true;
  }

  /**
   * @param {number} ticket the read's, after `readEnds`
   * @param {Map<string, number>} counts
   */
  readAnswers(ticket, counts) {
    if (ticket > this.#lastVote) this.#counts.clear();
    this.#raise(counts);
  }

  /**
   * @param {string} id
   * @param {number} count
   */
  voteAnswers(id, count) {
    this.#lastVote = ++this.#clock;
    this.#counts.set(id, Math.max(count, this.#counts.get(id) ?? 0));
  }

  /** @param {Map<string, number>} counts of an earlier visit, for want of better ones */
  remember(counts) {
    if (!this.#complete) this.#raise(counts);
  }

  /** @param {Map<string, number>} counts */
  #raise(counts) {
    for (const [id, count] of counts) {
      this.#counts.set(id, Math.max(count, this.#counts.get(id) ?? 0));
    }
    this.#complete = true;
  }
}
