// The translation: parts that grow as they arrive, and words that can be pointed at and chosen, also by keyboard.

import { levelOf } from "./parts.js";

/** Calls onWord with the part and the word under pointer or focus, or null; onChoose with those that are chosen. */
export class TargetText {
  constructor({ element, onWord, onChoose }) {
    this.element = element;
    this.onWord = onWord;
    this.onChoose = onChoose;
    this.shown = []; // {part, nodes, words} of each part
    this.canExplore = true;
    element.addEventListener("pointerover", (event) => this.onWord(this.#find(event.target)));
    element.addEventListener("pointerleave", () => this.onWord(null));
    element.addEventListener("focusin", (event) => this.#focused(event.target));
    element.addEventListener("focusout", () => this.onWord(null));
    element.addEventListener("click", (event) => this.#clicked(event.target));
    element.addEventListener("keydown", (event) => this.#pressed(event));
  }

  get parts() {
    return this.shown.map(({ part }) => part);
  }

  get text() {
    return this.parts.map((part) => part.gap + part.text).join("");
  }

  /** Show a part; one that has not changed keeps its elements, and with them the focus. */
  set(index, part) {
    const former = this.shown[index];
    if (former?.part.isLike(part)) former.part = part;
    else this.#put(index, part);
  }

  /** Remove parts from this index on. */
  truncate(count) {
    for (const { nodes } of this.shown.splice(count)) for (const node of nodes) node.remove();
    this.#keepOneTabStop();
  }

  /** Show a part again whose translation has changed. */
  refresh(part) {
    const index = this.shown.findIndex((each) => each.part === part);
    if (index >= 0) this.#put(index, part);
  }

  setExploring(canExplore) {
    this.canExplore = canExplore;
    for (const { part } of [...this.shown]) this.refresh(part);
  }

  highlight(part, words) {
    for (const element of this.element.querySelectorAll(".lit")) element.classList.remove("lit");
    const shown = this.shown.find((each) => each.part === part);
    if (!shown) return;
    shown.nodes[1].classList.add("lit");
    for (const word of words) shown.words[word]?.classList.add("lit");
  }

  wordElement(part, word) {
    return this.shown.find((each) => each.part === part)?.words[word] ?? null;
  }

  /** Put a part at an index, instead of the one that is there. */
  #put(index, part) {
    const former = this.shown[index];
    const shown = this.#render(part);
    if (former) {
      former.nodes[0].before(...shown.nodes);
      for (const node of former.nodes) node.remove();
    } else this.element.append(...shown.nodes);
    this.shown[index] = shown;
    this.#keepOneTabStop();
  }

  #render(part) {
    const whole = document.createElement("span");
    whole.className = part.flags.length ? "part flagged" : "part";
    const words = [];
    let end = 0;
    for (const [index, [start, stop]] of (this.canExplore ? part.words : []).entries()) {
      const word = this.#wordSpan(part, index);
      whole.append(part.text.slice(end, start), word);
      words.push(word);
      end = stop;
    }
    whole.append(part.text.slice(end));
    return { part, nodes: [document.createTextNode(part.gap), whole], words };
  }

  #wordSpan(part, index) {
    const word = document.createElement("span");
    const level = levelOf(part.scores[index]);
    word.className = level ? `word ${level}` : "word";
    word.textContent = part.wordAt(index);
    word.role = "button";
    word.tabIndex = -1;
    word.ariaHasPopup = "dialog";
    const source = part.sourcesOf(index).map((each) => part.source.slice(...part.sourceWords[each]));
    const description = [level.replace("-", " "), source.length ? `from ${source.join(" ")}` : ""].filter(Boolean);
    if (description.length) word.setAttribute("aria-description", description.join(", "));
    return word;
  }

  #find(element) {
    for (const { part, words } of this.shown) {
      const word = words.indexOf(element);
      if (word >= 0) return { part, word };
    }
    return null;
  }

  get #words() {
    return this.shown.flatMap(({ words }) => words);
  }

  #keepOneTabStop() {
    const words = this.#words;
    if (words.length && !words.some((word) => word.tabIndex === 0)) words[0].tabIndex = 0;
  }

  #focused(element) {
    const found = this.#find(element);
    if (!found) return;
    for (const word of this.#words) if (word.tabIndex === 0) word.tabIndex = -1;
    element.tabIndex = 0;
    this.onWord(found);
  }

  #clicked(element) {
    const found = this.#find(element);
    const selection = window.getSelection();
    if (found && (selection.isCollapsed || !this.element.contains(selection.anchorNode))) this.onChoose(found, element);
  }

  #pressed(event) {
    const found = this.#find(event.target);
    if (!found || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Enter" || event.key === " ") this.onChoose(found, event.target);
    else {
      const next = this.#neighbour(found, event.key, event.target);
      if (!next) return;
      next.focus();
    }
    event.preventDefault();
  }

  #neighbour({ part }, key, element) {
    const words = this.#words;
    const isLeftToRight = this.element.dir !== "rtl";
    const index = words.indexOf(element);
    const own = this.shown.findIndex((each) => each.part === part);
    const firstOf = (number) => this.shown[number]?.words[0];
    const moves = {
      ArrowRight: () => words[index + (isLeftToRight ? 1 : -1)],
      ArrowLeft: () => words[index - (isLeftToRight ? 1 : -1)],
      ArrowDown: () => firstOf(own + 1),
      ArrowUp: () => (firstOf(own) === element ? firstOf(own - 1) : firstOf(own)),
      Home: () => words[0],
      End: () => words.at(-1),
    };
    return moves[key]?.();
  }
}
