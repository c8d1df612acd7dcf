// The text to translate: a text area over a copy of its text, which gives it its height and carries highlights.

/** Calls onInput, and onWord with the part and the word under the pointer or the caret, or null. */
export class SourceText {
  constructor({ area, copy, onInput, onWord }) {
    this.area = area;
    this.copy = copy;
    this.onWord = onWord;
    this.parts = [];
    this.spans = new Map();
    area.addEventListener("input", (event) => {
      this.clear();
      onInput(event.inputType === "insertFromPaste");
    });
    area.addEventListener("pointermove", (event) => this.#point(event));
    area.addEventListener("pointerleave", () => onWord(null));
    area.addEventListener("blur", () => onWord(null));
    document.addEventListener("selectionchange", () => this.#followCaret());
  }

  get text() {
    return this.area.value;
  }

  set text(text) {
    this.area.value = text;
    this.clear();
  }

  /** Forget the parts, which are those of another text. */
  clear() {
    this.parts = [];
    this.spans.clear();
    // without the last character, a line break at the end would have no height
    this.copy.replaceChildren(`${this.area.value}\u200b`);
  }

  /** Mark parts and words in the copy. */
  setParts(parts) {
    this.clear();
    this.parts = parts;
    const text = this.area.value;
    const nodes = [];
    let end = 0;
    for (const part of parts) {
      if (part.start < end) continue;
      nodes.push(text.slice(end, part.start), this.#partSpan(part));
      end = part.start + part.source.trimEnd().length;
    }
    this.copy.replaceChildren(...nodes, `${text.slice(end)}\u200b`);
  }

  /** Highlight a part and some of its words; null: nothing. */
  highlight(part, words) {
    for (const element of this.copy.querySelectorAll(".lit")) element.classList.remove("lit");
    const found = part && this.spans.get(part);
    if (!found) return;
    found.whole.classList.add("lit");
    for (const word of words) found.words[word]?.classList.add("lit");
  }

  #partSpan(part) {
    const whole = document.createElement("span");
    whole.className = "part";
    const words = [];
    let end = 0;
    for (const [start, stop] of part.sourceWords) {
      const word = document.createElement("span");
      word.className = "word";
      word.textContent = part.source.slice(start, stop);
      whole.append(part.source.slice(end, start), word);
      words.push(word);
      end = stop;
    }
    whole.append(part.source.trimEnd().slice(end));
    this.spans.set(part, { whole, words });
    return whole;
  }

  #point(event) {
    if (event.pointerType === "touch") return;
    const element = document.elementsFromPoint(event.clientX, event.clientY).find((each) => each.matches(".copy .word"));
    this.onWord(element ? this.#wordOf(element) : null);
  }

  #wordOf(element) {
    for (const [part, { words }] of this.spans) {
      const word = words.indexOf(element);
      if (word >= 0) return { part, word };
    }
    return null;
  }

  #followCaret() {
    if (document.activeElement !== this.area || !this.parts.length) return;
    const caret = this.area.selectionStart;
    const part = this.parts.find(({ start, source }) => start <= caret && caret < start + source.length);
    const word = part ? part.sourceWords.findIndex(([start, end]) => start <= caret - part.start && caret - part.start <= end) : -1;
    this.onWord(word >= 0 ? { part, word } : null);
  }
}
