// Which counts to show, when answers may overtake each other.
//
// A vote's answer and a read of all counts that were under way together say nothing about which is newer; the higher
// count is, since counts grow. Only a read that began after the last vote's answer may lower a count: then an
// operator has reset the counts.

export function ordered() {
  /** @type {Map<string, number>} */
  const counts = new Map();
  let complete = false;
  // These count events, not time: all that matters is what came before what.
  let clock = 0;
  let lastVote = 0;
  let lastRead = 0;

  /** @param {Map<string, number>} from */
  function raise(from) {
    for (const [id, count] of from) counts.set(id, Math.max(count, counts.get(id) ?? 0));
    complete = true;
  }

  return {
    /** @returns {Map<string, number> | null} null until all counts have been seen */
    get counts() {
      return complete ? counts : null;
    },

    /** @returns {number} a ticket to show when the read ends */
    readBegins() {
      clock += 1;
      return clock;
    },

    /**
     * @param {number} ticket
     * @returns {boolean} false if a read that began later has ended already, so that this one is of no interest
     */
    readEnds(ticket) {
      if (ticket < lastRead) return false;
      lastRead = ticket;
      return true;
    },

    /**
     * @param {number} ticket the read's, after `readEnds`
     * @param {Map<string, number>} read
     */
    readAnswers(ticket, read) {
      if (ticket > lastVote) counts.clear();
      raise(read);
    },

    /**
     * @param {string} id
     * @param {number} count
     */
    voteAnswers(id, count) {
      clock += 1;
      lastVote = clock;
      counts.set(id, Math.max(count, counts.get(id) ?? 0));
    },

    /** @param {Map<string, number>} earlier of an earlier visit, for want of better ones */
    remember(earlier) {
      if (!complete) raise(earlier);
    },
  };
}
