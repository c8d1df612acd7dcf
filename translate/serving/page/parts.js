// A translation in parts, as the service streams them: sentences or lines, with offsets of their words in the text.

const LESS_SURE = Math.log(0.7);
const UNSURE = Math.log(0.35);
export const WARNINGS = {
  length_ratio: "is much longer or shorter than its source",
  repetition: "repeats words",
  copied_source: "is mostly a copy of its source",
  little_attention: "may leave out some of its source",
};

/** Offsets [start, end] of words that occur in a text in this order. */
function offsetsOf(words, text) {
  let end = 0;
  return words.map((word) => {
    const start = text.indexOf(word, end);
    if (start < 0) return [end, end];
    end = start + word.length;
    return [start, end];
  });
}

/** Pairs of indices in Pharaoh form. */
function linksOf(alignment) {
  return alignment ? alignment.split(" ").map((link) => link.split("-").map(Number)) : [];
}

/** "", "less-sure" or "unsure", for the logarithm of a probability. */
export function levelOf(score) {
  if (score === null || score === undefined || score >= LESS_SURE) return "";
  return score >= UNSURE ? "less-sure" : "unsure";
}

/** A part of a translation, from a record of the service. */
export class Part {
  /** start: offset of its source in the whole text; gap: white space in front of its translation. */
  constructor(record, start, gap) {
    this.source = record.source;
    this.start = start;
    this.gap = gap;
    this.original = record.text;
    this.update(record);
  }

  /** Take another translation, with its details if there are any. */
  update(record) {
    this.text = record.text;
    this.flags = record.flags ?? [];
    this.words = offsetsOf(record.words ?? [], this.text);
    this.scores = record.word_scores ?? [];
    this.sourceWords = offsetsOf(record.source_words ?? [], this.source);
    this.links = linksOf(record.alignment);
  }

  wordAt(index) {
    return this.text.slice(...this.words[index]);
  }

  /** Indices of the source words that a word of the translation comes from, and the reverse. */
  sourcesOf(word) {
    return this.links.filter(([, target]) => target === word).map(([source]) => source);
  }

  targetsOf(word) {
    return this.links.filter(([source]) => source === word).map(([, target]) => target);
  }

  /** Probability of a word; null if it is not known. */
  probability(word) {
    const score = this.scores[word];
    return score === null || score === undefined ? null : Math.exp(score);
  }

  isLike(other) {
    const key = (part) => JSON.stringify([part.gap, part.text, part.words, part.scores, part.links]);
    return key(this) === key(other);
  }
}

/** Makes parts of a text's records, in their order. */
export class PartMaker {
  #lines;
  #starts;
  #former = 0;
  #cursor = 0;
  #isFirst = true;

  constructor(text) {
    this.#lines = text.split("\n");
    let start = 0;
    this.#starts = this.#lines.map((line) => {
      const own = start;
      start += line.length + 1;
      return own;
    });
  }

  make(record) {
    const line = this.#lines[record.line];
    const isNew = this.#isFirst || record.line !== this.#former;
    if (isNew) this.#cursor = 0;
    const breaks = "\n".repeat(record.line - this.#former);
    const gap = isNew ? breaks + line.match(/^\s*/)[0] : record.space;
    const found = Math.max(0, line.indexOf(record.source, this.#cursor));
    this.#cursor = found + record.source.length;
    this.#former = record.line;
    this.#isFirst = false;
    return new Part(record, this.#starts[record.line] + found, gap);
  }
}
