// One restaurant's card: its button, and next to the button what became of the vote.

import { castVote } from "./api.js";
import { reason, votes } from "./words.js";

/** How long "Counted" stays. A vote that was not confirmed is shown until it is. */
const SHOW_COUNTED = 4_000;

export class Ballot {
  #id;
  #name;
  #outcome;
  #announce;
  #onCounted;
  /**
   * The keys of votes whose fate is unknown. The next vote takes such a key up again, so that trying again counts what
   * was not counted, and does not count twice what was.
   * @type {string[]}
   */
  #unconfirmed = [];
  /** @type {number | undefined} */
  #clearing;

  /**
   * @param {HTMLElement} card
   * @param {{announce: (sentence: string) => void, onCounted: (id: string, count: number) => void}} to
   */
  constructor(card, { announce, onCounted }) {
    this.#id = card.dataset.restaurant;
    this.#name = card.querySelector(".ballot__name").textContent.trim();
    this.#outcome = card.querySelector(".outcome");
    this.#announce = announce;
    this.#onCounted = onCounted;
    card.querySelector("button").addEventListener("click", () => this.#vote());
  }

  /** Several may be under way at once: each click is a vote. */
  async #vote() {
    const key = this.#unconfirmed.pop() ?? newKey();
    this.#show("sending", "Counting…");
    let count;
    try {
      count = await castVote(this.#id, key);
    } catch (trouble) {
      this.#unconfirmed.push(key);
      this.#notConfirmed(trouble);
      return;
    }
    this.#counted(count);
  }

  /** @param {number} count */
  #counted(count) {
    this.#onCounted(this.#id, count);
    this.#announce(`Vote for ${this.#name} counted, ${votes(count)}`);
    if (this.#unconfirmed.length > 0) {
      this.#show("failed", this.#stillToConfirm());
      return;
    }
    this.#show("counted", `Counted, ${votes(count)}`);
    this.#clearing = setTimeout(() => this.#show("", ""), SHOW_COUNTED);
  }

  /** @param {import("./api.js").Trouble} trouble */
  #notConfirmed(trouble) {
    const sentence = this.#stillToConfirm();
    this.#show("failed", `${sentence} ${reason(trouble, "vote store")}`);
    this.#announce(sentence);
  }

  #stillToConfirm() {
    const failed = this.#unconfirmed.length;
    return failed === 1
      ? `Your vote for ${this.#name} was not confirmed. Try again.`
      : `${votes(failed)} for ${this.#name} were not confirmed. Try again.`;
  }

  /**
   * @param {"" | "sending" | "counted" | "failed"} state
   * @param {string} text
   */
  #show(state, text) {
    clearTimeout(this.#clearing);
    this.#outcome.dataset.state = state;
    this.#outcome.textContent = text;
  }
}

/** Not `randomUUID`, which browsers keep from pages that came by plain HTTP. */
function newKey() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
