// Former translations, kept in this browser alone; the user can clear them, or switch them off.

import { setLanguage } from "./languages.js";
import { load, save } from "./storage.js";

const MOST = 50;
const SHOWN = 160; // characters of a text in the list
const TIME = new Intl.DateTimeFormat("en", { dateStyle: "medium", timeStyle: "short" });

export class History {
  constructor({ dialog, nameOf, onRestore }) {
    Object.assign(this, { dialog, nameOf, onRestore });
    this.list = dialog.querySelector("ol");
    this.toggle = dialog.querySelector("[name=keep-history]");
    this.clearButton = dialog.querySelector("[data-role=clear]");
    this.toggle.checked = load("keep-history", true);
    this.entries = stored();
    this.toggle.addEventListener("change", () => {
      save("keep-history", this.toggle.checked);
      if (!this.toggle.checked) this.clear();
    });
    this.clearButton.addEventListener("click", () => this.clear());
    this.show();
  }

  /** Keep a translation; one whose text only continues the former one replaces it. */
  add(entry) {
    // another tab may have switched it off, or added entries
    const isKept = this.toggle.checked && load("keep-history", true);
    if (!isKept || !entry.source.trim() || !entry.target.trim()) return;
    this.entries = stored();
    const continues = ({ source, from, to }) =>
      to === entry.to && from === entry.from && (entry.source.startsWith(source) || source.startsWith(entry.source));
    if (this.entries.length && continues(this.entries[0])) this.entries.shift();
    this.entries.unshift({ ...entry, time: Date.now() });
    this.entries.splice(MOST);
    // the oldest give way where the browser's space ends
    while (!save("history", this.entries) && this.entries.length > 1) this.entries.pop();
    this.show();
  }

  clear() {
    this.entries = [];
    save("history", null);
    this.show();
    if (this.dialog.open) this.toggle.focus();
  }

  show() {
    this.list.replaceChildren(...this.entries.map((entry) => this.#item(entry)));
    this.clearButton.hidden = !this.entries.length;
    this.dialog.querySelector("[data-role=empty]").hidden = Boolean(this.entries.length);
  }

  #item(entry) {
    const item = document.createElement("li");
    const button = document.createElement("button");
    button.type = "button";
    button.append(
      this.#line("facts", `${this.nameOf(entry.from)} → ${this.nameOf(entry.to)} · ${TIME.format(entry.time)}`),
      this.#line("from", entry.source, entry.from),
      this.#line("to", entry.target, entry.to),
    );
    button.addEventListener("click", () => {
      this.dialog.close();
      this.onRestore(entry);
    });
    item.append(button);
    return item;
  }

  #line(className, text, code) {
    const line = document.createElement("span");
    line.className = className;
    line.textContent = text.length > SHOWN ? `${text.slice(0, SHOWN)}…` : text;
    if (code) setLanguage(line, code);
    return line;
  }
}

/** The stored entries; what is none, such as one of another version, is left out. */
const stored = () => load("history", []).filter(isEntry).slice(0, MOST);

function isEntry(value) {
  const texts = [value?.source, value?.target, value?.from, value?.to];
  return texts.every((text) => typeof text === "string") && !Number.isNaN(new Date(value.time).getTime());
}
