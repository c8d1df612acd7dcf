// The box of one word: where it comes from, how sure the model is, and other translations from there on.

import { levelOf, WARNINGS } from "./parts.js";

const N_BEST = 8;
const CONTEXT = 4; // words around a difference that are shown
const PHONE = "(max-width: 40rem)";
const PERCENT = new Intl.NumberFormat("en", { style: "percent" });

/**
 * Calls request(part, fields, signal) for the record of a part's source, and onApply(part, text, word) with the
 * translation that is chosen.
 */
export class Alternatives {
  constructor({ box, request, onApply, targetTag }) {
    Object.assign(this, { box, request, onApply, targetTag });
    this.controller = new AbortController();
    this.elements = Object.fromEntries([...box.querySelectorAll("[data-role]")].map((each) => [each.dataset.role, each]));
    const { other, whole, undo, close } = this.elements;
    other.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#continueWith(other.elements.words.value);
    });
    whole.addEventListener("click", () => this.#list({ n_best: N_BEST }, "Other translations of the sentence"));
    undo.addEventListener("click", () => this.#apply(this.part.original));
    close.addEventListener("click", () => box.hidePopover());
    box.addEventListener("toggle", (event) => {
      if (event.newState === "closed") this.controller.abort();
    });
  }

  /** Open the box below a word. */
  open(part, word, anchor) {
    Object.assign(this, { part, word, anchor });
    const { title, facts, warnings, other, undo } = this.elements;
    title.textContent = part.wordAt(word);
    facts.textContent = this.#facts();
    warnings.textContent = part.flags.map((flag) => `This sentence ${WARNINGS[flag] ?? flag}.`).join(" ");
    other.reset();
    undo.hidden = part.text === part.original;
    if (!this.box.matches(":popover-open")) this.box.showPopover();
    this.#place();
    this.box.focus();
    this.#list({ n_best: N_BEST, prefix: this.#before }, "Other ways to go on from here");
  }

  get #before() {
    return this.part.text.slice(0, this.part.words[this.word][0]).trimEnd();
  }

  #facts() {
    const { part, word } = this;
    const source = part.sourcesOf(word).map((index) => part.source.slice(...part.sourceWords[index]));
    const probability = part.probability(word);
    const facts = source.length ? [`from “${source.join(" ")}”`] : [];
    if (probability !== null) {
      const level = levelOf(part.scores[word]).replace("-", " ") || "sure";
      facts.push(`${level}: ${PERCENT.format(probability)}`);
    }
    return facts.join(" · ");
  }

  async #list(fields, heading) {
    const { list, listTitle, status } = this.elements;
    this.controller.abort();
    this.controller = new AbortController();
    const { signal } = this.controller;
    listTitle.textContent = heading;
    list.replaceChildren();
    status.textContent = "Looking for alternatives …";
    try {
      const record = await this.request(this.part, fields, signal);
      const texts = distinct(record.nbest, this.part.text, fields.prefix ?? "");
      list.replaceChildren(...texts.map((text) => this.#item(text, Boolean(fields.prefix))));
      status.textContent = texts.length ? "" : "The model sees no other way.";
    } catch (error) {
      if (signal.aborted) return;
      status.textContent = waiting(error);
    }
    this.#place();
  }

  async #continueWith(words) {
    const { status } = this.elements;
    if (!words.trim()) return;
    this.controller.abort();
    this.controller = new AbortController();
    const { signal } = this.controller;
    status.textContent = "Translating …";
    try {
      const prefix = `${this.part.text.slice(0, this.part.words[this.word][0])}${words.trim()}`;
      const record = await this.request(this.part, { prefix }, signal);
      this.#apply(record.text);
    } catch (error) {
      if (!signal.aborted) status.textContent = waiting(error);
    }
  }

  #apply(text) {
    this.box.hidePopover();
    this.onApply(this.part, text, this.word);
  }

  #item(text, isShortened) {
    const button = document.createElement("button");
    button.type = "button";
    button.dir = "auto";
    if (this.targetTag()) button.lang = this.targetTag();
    const [before, changed, after] = difference(text, this.part.text, this.targetTag());
    const strong = document.createElement("strong");
    strong.textContent = changed.join("");
    button.append(...(isShortened ? [tail(before), strong, head(after)] : [before.join(""), strong, after.join("")]));
    button.setAttribute("aria-label", text);
    button.addEventListener("click", () => this.#apply(text));
    const item = document.createElement("li");
    item.append(button);
    return item;
  }

  /** Put the box under its word, inside of the window; on phones it lies at the lower edge. */
  #place() {
    const { style } = this.box;
    if (matchMedia(PHONE).matches) {
      style.left = style.top = "";
      return;
    }
    const word = this.anchor.getBoundingClientRect();
    const { offsetWidth: width, offsetHeight: height } = this.box;
    const below = word.bottom + 8;
    const top = below + height > innerHeight ? Math.max(8, word.top - height - 8) : below;
    style.left = `${Math.max(8, Math.min(word.left, innerWidth - width - 8))}px`;
    style.top = `${top}px`;
  }
}

function waiting(error) {
  return error.retryAfter ? `${error.message} Try again in ${error.retryAfter} s.` : error.message;
}

/** Translations other than the present one; first those that go on differently right after the prefix. */
function distinct(nBest, present, prefix) {
  const found = [...new Set(nBest.filter(({ text, score }) => text && score !== null).map(({ text }) => text))];
  const others = found.filter((text) => text !== present);
  const next = (text) => text.slice(prefix.length).trimStart().split(/\s/)[0];
  const seen = new Set([next(present)]);
  const isNew = (text) => prefix && text.startsWith(prefix) && !seen.has(next(text)) && Boolean(seen.add(next(text)));
  const first = others.filter(isNew);
  return [...first, ...others.filter((text) => !first.includes(text))];
}

/** A text in three lists of words and spaces: before, inside and after what differs from another text. */
function difference(text, other, tag) {
  const words = segments(text, tag);
  const others = segments(other, tag);
  let start = 0;
  while (start < words.length && words[start] === others[start]) start += 1;
  let end = 0;
  const most = Math.min(words.length, others.length) - start;
  while (end < most && words.at(-1 - end) === others.at(-1 - end)) end += 1;
  return [words.slice(0, start), words.slice(start, words.length - end), words.slice(words.length - end)];
}

function segments(text, tag) {
  return [...new Intl.Segmenter(tag || "en", { granularity: "word" }).segment(text)].map(({ segment }) => segment);
}

const tail = (words) => (words.length > 2 * CONTEXT ? `… ${words.slice(-2 * CONTEXT).join("").trimStart()}` : words.join(""));
const head = (words) => (words.length > 2 * CONTEXT ? `${words.slice(0, 2 * CONTEXT).join("").trimEnd()} …` : words.join(""));
