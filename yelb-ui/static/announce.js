// Announces changes to users of screen readers.

/**
 * @param {Element} region a live region, empty when the page is loaded
 * @returns {(sentence: string) => void}
 */
export function announcer(region) {
  return (sentence) => {
    // A live region speaks when its text changes. The space makes a repeated sentence a new one.
    region.textContent = region.textContent === sentence ? `${sentence}\u00a0` : sentence;
  };
}
