// Documents: chosen or dropped files, sent one after the other and offered as downloads.

import { translateFile } from "./api.js";

export class Files {
  /** languages() gives the codes to translate between; onDrop is called when files are dropped anywhere on the page. */
  constructor({ zone, input, list, status, languages, onDrop }) {
    Object.assign(this, { zone, input, list, status, languages });
    this.endings = [];
    this.waiting = Promise.resolve();
    input.addEventListener("change", () => {
      this.add(input.files);
      input.value = "";
    });
    // a file that misses the zone would otherwise replace the page
    document.addEventListener("dragover", (event) => this.#dragged(event));
    document.addEventListener("dragleave", (event) => {
      if (!event.relatedTarget) zone.classList.remove("over");
    });
    document.addEventListener("drop", (event) => {
      if (!hasFiles(event)) return;
      event.preventDefault();
      zone.classList.remove("over");
      onDrop();
      this.add(event.dataTransfer.files);
    });
  }

  setEndings(endings) {
    this.endings = endings;
    this.input.accept = endings.join(",");
  }

  /** Translate files, each after those before it. */
  add(files) {
    for (const file of files) {
      const { source, target } = this.languages();
      const job = this.#show(file);
      this.waiting = this.waiting.then(() => this.#translate(file, source, target, job));
    }
  }

  #dragged(event) {
    if (!hasFiles(event)) return;
    event.preventDefault();
    event.dataTransfer.dropEffect = "copy";
    this.zone.classList.add("over");
  }

  #show(file) {
    const item = document.createElement("li");
    const name = document.createElement("bdi");
    name.className = "name";
    name.textContent = file.name;
    const state = document.createElement("span");
    state.className = "state";
    state.textContent = "waiting";
    const cancel = document.createElement("button");
    Object.assign(cancel, { type: "button", className: "quiet", textContent: "Cancel" });
    cancel.setAttribute("aria-label", `Cancel ${file.name}`);
    const controller = new AbortController();
    cancel.addEventListener("click", () => {
      controller.abort();
      item.remove();
    });
    item.append(name, state, cancel);
    this.list.prepend(item);
    return { item, state, cancel, signal: controller.signal };
  }

  async #translate(file, source, target, { item, state, cancel, signal }) {
    if (signal.aborted) return;
    item.classList.add("busy");
    state.textContent = "translating …";
    try {
      const address = await translateFile(file, source, target, signal);
      const link = document.createElement("a");
      Object.assign(link, { href: address, download: "", textContent: "Download", className: "button" });
      link.setAttribute("aria-label", `Download the translation of ${file.name}`);
      state.textContent = "ready for ten minutes";
      cancel.replaceWith(link);
      this.status.textContent = `${file.name} is translated.`;
    } catch (error) {
      if (signal.aborted) return;
      if (error.retryAfter) {
        state.textContent = `${error.message} Trying again in ${error.retryAfter} s.`;
        await new Promise((done) => setTimeout(done, 1000 * error.retryAfter));
        await this.#translate(file, source, target, { item, state, cancel, signal });
        return;
      }
      state.textContent = error.message;
      item.classList.add("failed");
      cancel.textContent = "Remove";
      cancel.setAttribute("aria-label", `Remove ${file.name}`);
      this.status.textContent = `${file.name}: ${error.message}`;
    } finally {
      item.classList.remove("busy");
    }
  }
}

const hasFiles = (event) => event.dataTransfer?.types.includes("Files") ?? false;
