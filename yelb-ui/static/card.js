// One restaurant's card: its result, its button, and what became of the visitor's votes for it.

import { length } from "./result.js";
import { clock, number, share, votes } from "./words.js";

/**
 * @param {HTMLElement} card
 * @param {object} to
 * @param {(id: string) => void} to.onVote
 * @param {(id: string) => void} to.onSendAgain
 * @param {(id: string) => void} to.onForget
 */
export function card(card, { onVote, onSendAgain, onForget }) {
  const id = card.dataset.restaurant;
  const part = (name) => card.querySelector(`.${name}`);
  const [dish, outcome, text] = ["dish", "outcome", "outcome__text"].map(part);
  const [again, forget, button] = ["outcome__again", "outcome__forget", "button"].map(part);

  button.addEventListener("click", () => {
    flash(card);
    onVote(id);
  });
  button.addEventListener("keydown", (event) => {
    // Held down, a key is one vote.
    if (event.repeat) event.preventDefault();
  });
  // Focus would be lost with the button that goes.
  const thenFocus = (act) => () => {
    button.focus();
    act(id);
  };
  again.addEventListener("click", thenFocus(onSendAgain));
  forget.addEventListener("click", thenFocus(onForget));

  return {
    id,
    name: part("ballot__name").textContent.trim(),

    /** @param {{count: number, total: number, most: number, isFirst: boolean}} result */
    show({ count, total, most, isFirst }) {
      part("ballot__count").textContent = number(count);
      part("ballot__share").textContent = share(count, total);
      part("fill").style.setProperty("--length", length(count, most));
      card.toggleAttribute("data-first", isFirst);
    },

    /**
     * @param {import("./voting.js").OwnVotes} own
     * @param {boolean} areKept whether there is an outage in which votes are kept
     */
    tell(own, areKept) {
      const [state, sentence] = outcomeOf(own, areKept);
      const isMine = state !== "" && state !== "kept";
      if (!isMine) delete card.dataset.mine;
      else if (!card.dataset.mine) card.dataset.mine = "yes";
      dish.hidden = state !== "";
      outcome.hidden = state === "";
      outcome.dataset.state = state;
      if (text.textContent !== sentence) text.textContent = sentence;
      again.hidden = state !== "unsure";
      forget.hidden = state !== "unsure";
    },
  };
}

/** Takes the animation up anew. */
function flash(card) {
  card.dataset.mine = "yes";
  // Asking for the layout makes the browser see the state in between.
  void card.offsetWidth;
  card.dataset.mine = "now";
}

/**
 * @param {import("./voting.js").OwnVotes} own
 * @param {boolean} areKept
 * @returns {[state: string, sentence: string]}
 */
function outcomeOf({ open, countedAt }, areKept) {
  const waiting = open.waiting + open.kept;
  if (open.unsure > 0) return ["unsure", open.unsure === 1 ? "Maybe lost" : `${number(open.unsure)} maybe lost`];
  if (waiting > 0) {
    const words = open.kept > 0 ? "until an answer" : "to be sent again";
    return ["waiting", waiting === 1 && open.kept === 0 ? "↻ Will be sent again" : `↻ ${votes(waiting)} ${words}`];
  }
  if (open.sending > 0) return ["sending", "Counting…"];
  if (countedAt) return ["counted", `✓ Counted at ${clock(countedAt)}`];
  return areKept ? ["kept", "Votes are kept"] : ["", ""];
}
