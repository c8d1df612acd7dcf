// Languages of the service: names, directions of writing, and which can be translated into which.

const AUTO = "auto";
const DETECT = "Detect language";
const RIGHT_TO_LEFT = new Set(["Adlm", "Arab", "Aran", "Hebr", "Mand", "Nkoo", "Rohg", "Samr", "Syrc", "Thaa"]);

/** The language tag of a model's code, such as arb_Arab; "" for none. */
export function tagOf(code) {
  try {
    return new Intl.Locale(code.replaceAll("_", "-")).toString();
  } catch {
    return "";
  }
}

/** The direction in which a language is written. */
export function directionOf(code) {
  const tag = tagOf(code);
  return tag && RIGHT_TO_LEFT.has(new Intl.Locale(tag).maximize().script) ? "rtl" : "ltr";
}

/** Set language and direction of an element; without a code, the direction is that of its text. */
export function setLanguage(element, code) {
  element.dir = code && code !== AUTO ? directionOf(code) : "auto";
  const tag = code && code !== AUTO ? tagOf(code) : "";
  if (tag) element.lang = tag;
  else element.removeAttribute("lang");
}

/** The two lists of languages and the button between them. */
export class LanguageChoice {
  constructor({ source, target, swap, onChange, onSwap }) {
    Object.assign(this, { source, target, swap, onChange });
    this.detected = "";
    this.languages = [];
    source.addEventListener("change", () => {
      this.detected = "";
      this.#fillTargets();
      onChange();
    });
    target.addEventListener("change", () => {
      this.#update();
      onChange();
    });
    swap.addEventListener("click", () => {
      if (swap.getAttribute("aria-disabled") !== "true") onSwap();
    });
  }

  /** Fill the lists; codes chosen before are chosen again if the service still has them. */
  fill(languages, chosen) {
    this.languages = languages;
    const names = languages.map(({ code, name }) => [code, name || code]);
    const detection = names.length > 1 ? [[AUTO, DETECT]] : [];
    fillSelect(this.source, [...detection, ...names], chosen.source);
    this.#fillTargets(chosen.target);
  }

  /** The source language, detected or chosen; "auto" while it is not known. */
  get known() {
    return this.source.value === AUTO ? this.detected || AUTO : this.source.value;
  }

  /** The source language as far as it is known, else one that can be translated. */
  get likely() {
    const known = this.known;
    const first = this.languages.find(({ targets }) => targets.includes(this.target.value));
    return known === AUTO ? (first?.code ?? known) : known;
  }

  nameOf(code) {
    return this.languages.find((language) => language.code === code)?.name ?? displayName(code);
  }

  setDetected(code) {
    this.detected = this.source.value === AUTO ? code : "";
    this.#update();
  }

  /** Choose both languages, as far as the service has them. */
  choose(source, target) {
    if (![...this.source.options].some((option) => option.value === source)) return;
    this.source.value = source;
    this.detected = "";
    this.#fillTargets(target);
  }

  #fillTargets(wanted = this.target.value) {
    const { value } = this.source;
    const sources = value === AUTO ? this.languages : this.languages.filter((language) => language.code === value);
    const codes = [...new Set(sources.flatMap((language) => language.targets))];
    fillSelect(this.target, codes.map((code) => [code, this.nameOf(code)]), wanted);
    this.#update();
  }

  #update() {
    const from = this.target.value;
    const to = this.known;
    const canSwap = this.languages.some(({ code, targets }) => code === from && targets.includes(to));
    this.swap.setAttribute("aria-disabled", String(!canSwap));
    const reason = to === AUTO ? "Swap languages: type a text first" : this.#missing(from, to);
    this.swap.title = canSwap ? "Swap languages" : reason;
    const detection = [...this.source.options].find((option) => option.value === AUTO);
    if (detection) detection.textContent = this.detected ? `${this.nameOf(this.detected)} (detected)` : DETECT;
  }

  #missing(from, to) {
    return `Swap languages: no model here translates from ${this.nameOf(from)} to ${this.nameOf(to)}`;
  }
}

function displayName(code) {
  const tag = tagOf(code);
  return (tag && new Intl.DisplayNames(["en"], { type: "language" }).of(tag)) || code;
}

function fillSelect(select, entries, wanted) {
  select.replaceChildren(...entries.map(([value, text]) => new Option(text, value)));
  if (entries.some(([value]) => value === wanted)) select.value = wanted;
}
