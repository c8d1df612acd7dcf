// Terminology: pairs of texts for each direction, kept in this browser and sent with the texts that have them.

import { load, onChange as onStored, save } from "./storage.js";

export class Terms {
  constructor({ dialog, button, onChange }) {
    Object.assign(this, { dialog, button, onChange });
    this.direction = "";
    this.rows = dialog.querySelector("tbody");
    this.toggle = dialog.querySelector("[name=use-terms]");
    this.toggle.checked = load("use-terms", true);
    this.toggle.addEventListener("change", () => {
      save("use-terms", this.toggle.checked);
      this.#changed();
    });
    dialog.querySelector("[data-role=add]").addEventListener("click", () => this.#add("", "").querySelector("input").focus());
    this.rows.addEventListener("input", () => this.#changed());
    this.rows.addEventListener("paste", (event) => this.#paste(event));
    // else this tab would write its own rows over those of another one
    onStored(() => `terms.${this.direction}`, () => this.#fill());
  }

  /** Show the terms of a direction. */
  setDirection(source, target, names) {
    const direction = `${source}-${target}`;
    if (direction === this.direction) return;
    this.direction = direction;
    this.dialog.querySelector("[data-role=direction]").textContent = `${names[0]} → ${names[1]}`;
    this.dialog.querySelector("[data-role=source]").textContent = names[0];
    this.dialog.querySelector("[data-role=target]").textContent = names[1];
    this.#fill();
  }

  /** The complete terms of the direction that occur in a text. */
  in(text) {
    const lowered = text.toLowerCase();
    return this.toggle.checked ? this.#pairs().filter(([source]) => lowered.includes(source.toLowerCase())) : [];
  }

  #fill() {
    this.rows.replaceChildren();
    for (const [from, to] of load(`terms.${this.direction}`, []).filter(isPair)) this.#add(from, to);
    if (!this.rows.children.length) this.#add("", "");
    this.#count();
  }

  #pairs() {
    const pairs = [...this.rows.children].map((row) => [...row.querySelectorAll("input")].map(({ value }) => value.trim()));
    return pairs.filter(([source, target]) => source && target);
  }

  #changed() {
    save(`terms.${this.direction}`, this.#pairs().length ? this.#pairs() : null);
    this.#count();
    this.onChange();
  }

  #count() {
    const count = this.toggle.checked ? this.#pairs().length : 0;
    this.button.textContent = count ? `Terms (${count})` : "Terms";
  }

  #add(...texts) {
    const row = document.createElement("tr");
    for (const [index, text] of texts.entries()) {
      const input = document.createElement("input");
      Object.assign(input, { type: "text", value: text, maxLength: 200, dir: "auto", autocomplete: "off" });
      input.setAttribute("aria-label", index ? "Translation" : "Term");
      row.insertCell().append(input);
    }
    const remove = document.createElement("button");
    Object.assign(remove, { type: "button", className: "quiet", textContent: "✕" });
    remove.setAttribute("aria-label", "Remove this term");
    remove.addEventListener("click", () => {
      const next = row.nextElementSibling ?? row.previousElementSibling;
      row.remove();
      (next?.querySelector("button") ?? this.dialog.querySelector("[data-role=add]")).focus();
      this.#changed();
    });
    row.insertCell().append(remove);
    this.rows.append(row);
    return row;
  }

  /** Several lines of a table, pasted from a spreadsheet, become rows. */
  #paste(event) {
    const lines = event.clipboardData.getData("text/plain").split(/\r?\n/);
    const pairs = lines.map((line) => line.split("\t").map((cell) => cell.trim())).filter((cells) => cells.length >= 2);
    if (!pairs.length) return;
    event.preventDefault();
    const row = event.target.closest("tr");
    if (![...row.querySelectorAll("input")].some(({ value }) => value)) row.remove();
    for (const [source, target] of pairs) this.#add(source.slice(0, 200), target.slice(0, 200));
    this.#changed();
  }
}

const isPair = (value) => Array.isArray(value) && value.length === 2 && value.every((text) => typeof text === "string");
