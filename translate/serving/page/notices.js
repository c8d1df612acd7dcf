// What went wrong: a message above the texts, and warnings of the service about sentences.

import { ServiceError } from "./api.js";
import { WARNINGS } from "./parts.js";

const EXCERPT = 60; // characters of a sentence in a warning
const FORBIDDEN = 403;
const REFUSED = 400;

/** The message; onRetry is called when the user or the service's Retry-After says so. */
export class Message {
  #timer = 0;

  constructor({ element, text, keyButton, retryButton, onRetry }) {
    Object.assign(this, { element, text, keyButton, retryButton, onRetry });
    retryButton.addEventListener("click", onRetry);
  }

  show(error, hint = "") {
    const wait = error.retryAfter ? ` Trying again in ${error.retryAfter} s.` : "";
    const isKnown = error instanceof ServiceError;
    if (!isKnown) console.error(error);
    this.text.textContent = isKnown ? `${error.message}${wait} ${hint}`.trim() : "The page cannot show this answer of the service.";
    this.keyButton.hidden = error.status !== FORBIDDEN;
    this.retryButton.hidden = error.status === FORBIDDEN || error.status === REFUSED;
    this.element.hidden = false;
    if (error.retryAfter) this.#timer = setTimeout(this.onRetry, 1000 * error.retryAfter);
  }

  hide() {
    clearTimeout(this.#timer);
    this.element.hidden = true;
  }
}

/** List the sentences whose translations the service warns of. */
export function showWarnings(list, parts) {
  const flagged = parts.filter(({ flags }) => flags.length);
  const items = flagged.map(({ source, flags }) => {
    const item = document.createElement("li");
    const quoted = document.createElement("bdi");
    const text = source.trim();
    quoted.textContent = text.length > EXCERPT ? `${text.slice(0, EXCERPT)}…` : text;
    item.append("“", quoted, `”: the translation ${flags.map((flag) => WARNINGS[flag] ?? flag).join(", and ")}.`);
    return item;
  });
  list.replaceChildren(...items);
  list.hidden = !items.length;
}
