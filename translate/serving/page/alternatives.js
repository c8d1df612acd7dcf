// The box of one word: where it comes from, how sure the model is, and other translations from there on.

import { levelOf, WARNINGS } from "./parts.js";

const MOST = 6; // alternatives in the list
const CONTEXT = 6; // words and spaces on each side of a difference that are shown
const PHONE = "(max-width: 40rem)";
const PERCENT = new Intl.NumberFormat("en", { style: "percent" });

/**
 * Calls request(part, fields, signal) for the record of a part's source, and onApply(part, text, word) with the
 * translation that is chosen.
 */
export class Alternatives {
  constructor({ box, limits, request, onApply, targetTag }) {
    Object.assign(this, { box, limits, request, onApply, targetTag });
    this.controller = new AbortController();
    this.elements = Object.fromEntries([...box.querySelectorAll("[data-role]")].map((each) => [each.dataset.role, each]));
    const { other, onward, whole, undo, close } = this.elements;
    other.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#continueWith(other.elements.words.value);
    });
    onward.addEventListener("click", () => this.#list(false));
    whole.addEventListener("click", () => this.#list(true));
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
    this.#position();
    this.box.focus();
    this.#list(false);
  }

  /** The translation before the word, which alternatives of the word begin with. */
  get #before() {
    return this.part.text.slice(0, this.part.words[this.word][0]);
  }

  /** The word with the one before it: banned, they leave this position alone to others. */
  get #present() {
    const { text } = this.part;
    const own = wordsIn(text.slice(this.#before.length), this.targetTag())[0];
    if (!own) return [];
    const former = wordsIn(this.#before, this.targetTag()).at(-1);
    return [text.slice(former?.index ?? this.#before.length, this.#before.length + own.index + own.segment.length)];
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

  /** List alternatives of the whole part, or those that differ from this word on. */
  async #list(isWhole) {
    const { list, status, onward, whole } = this.elements;
    onward.ariaPressed = String(!isWhole);
    whole.ariaPressed = String(isWhole);
    list.replaceChildren();
    await this.#ask("Looking for alternatives …", async (signal) => {
      const prefix = isWhole ? "" : this.#before.trimEnd();
      const fields = isWhole ? {} : { prefix, banned: this.#present };
      // the present translation may be among them
      const record = await this.request(this.part, { n_best: Math.min(MOST + 1, this.limits.nBest ?? MOST), ...fields }, signal);
      const texts = distinct(record.nbest, this.part.text, prefix).slice(0, MOST);
      list.replaceChildren(...texts.map((text) => this.#item(text, !isWhole)));
      status.textContent = texts.length ? `${texts.length} alternatives` : "The model sees no other way.";
    });
    this.#position();
  }

  /** Do what needs an answer of the service, instead of what was under way. */
  async #ask(waiting, work) {
    const { status } = this.elements;
    this.controller.abort();
    this.controller = new AbortController();
    const { signal } = this.controller;
    status.textContent = waiting;
    try {
      await work(signal);
    } catch (error) {
      if (signal.aborted) return;
      status.textContent = error.retryAfter ? `${error.message} Try again in ${error.retryAfter} s.` : error.message;
    }
  }

  async #continueWith(words) {
    if (!words.trim()) return;
    await this.#ask("Translating …", async (signal) => {
      const record = await this.request(this.part, { prefix: this.#before + words.trim() }, signal);
      this.#apply(record.text);
    });
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
  #position() {
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

/** Translations other than the present one; first those that continue with different words after the prefix. */
function distinct(nBest, present, prefix) {
  const texts = new Set(nBest.filter(({ text, score }) => text && score !== null).map(({ text }) => text));
  texts.delete(present);
  const next = (text) => text.slice(prefix.length).trimStart().split(/\s/)[0];
  const byNext = new Map([...texts].reverse().map((text) => [next(text), text]));
  const first = [...texts].filter((text) => byNext.get(next(text)) === text);
  return [...first, ...[...texts].filter((text) => !first.includes(text))];
}

/** A text in three lists of words and spaces: before, inside and after what differs from another text. */
function difference(text, other, tag) {
  const [words, others] = [text, other].map((each) => segmentsOf(each, tag).map(({ segment }) => segment));
  let start = 0;
  while (start < words.length && words[start] === others[start]) start += 1;
  let end = 0;
  const most = Math.min(words.length, others.length) - start;
  while (end < most && words.at(-1 - end) === others.at(-1 - end)) end += 1;
  return [words.slice(0, start), words.slice(start, words.length - end), words.slice(words.length - end)];
}

const segmentsOf = (text, tag) => [...new Intl.Segmenter(tag || "en", { granularity: "word" }).segment(text)];
const wordsIn = (text, tag) => segmentsOf(text, tag).filter(({ isWordLike }) => isWordLike);
const tail = (words) => (words.length > CONTEXT ? `… ${words.slice(-CONTEXT).join("").trimStart()}` : words.join(""));
const head = (words) => (words.length > CONTEXT ? `${words.slice(0, CONTEXT).join("").trimEnd()} …` : words.join(""));
