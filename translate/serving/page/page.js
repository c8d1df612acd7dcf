// The page: a text is translated while it is typed, and the other modules follow what happens.

import { Alternatives } from "./alternatives.js";
import { apiKey, getLanguages, getSettings, ServiceError, streamTranslation, translateLine } from "./api.js";
import { copyText, startDialogs, startTabs } from "./dialogs.js";
import { Files } from "./files.js";
import { History } from "./history.js";
import { LanguageChoice, setLanguage, tagOf } from "./languages.js";
import { Message, showWarnings } from "./notices.js";
import { PartMaker } from "./parts.js";
import { startKey, startTheme } from "./settings.js";
import { SourceText } from "./source_text.js";
import { load, save } from "./storage.js";
import { TargetText } from "./target_text.js";
import { Terms } from "./terms.js";

const PAUSE = 400; // milliseconds without a key before a text is translated
const RESTING = 1500; // milliseconds before a translation enters the history
const $ = (id) => document.getElementById(id);

const limits = { charLimit: Infinity, keyRequired: false };
let controller = new AbortController(); // of the translation under way
let timer = 0;
let historyTimer = 0;

const source = new SourceText({
  area: $("source"),
  copy: $("copy"),
  onInput: (isPasted) => schedule(isPasted ? 0 : PAUSE),
  onWord: (found) => light(found, (part, word) => [[word], part.targetsOf(word)]),
});

const target = new TargetText({
  element: $("output"),
  onWord: (found) => light(found, (part, word) => [part.sourcesOf(word), [word]]),
  onChoose: ({ part, word }, element) => alternatives.open(part, word, element),
});

const languages = new LanguageChoice({
  source: $("source-language"),
  target: $("target-language"),
  swap: $("swap"),
  onChange: () => {
    save("languages", { source: languages.source.value, target: languages.target.value });
    followLanguages();
    schedule(0);
  },
  onSwap: () => restore({ from: languages.target.value, to: languages.known, source: target.text || source.text }),
});

const terms = new Terms({ dialog: $("terms-dialog"), button: $("terms-button"), onChange: () => schedule(PAUSE) });

const history = new History({
  dialog: $("history-dialog"),
  nameOf: (code) => languages.nameOf(code),
  onRestore: restore,
});

const alternatives = new Alternatives({
  box: $("alternatives"),
  limits,
  request: (part, fields, signal) => translateLine({ ...fieldsFor(part.source), ...fields }, signal),
  onApply: applyAlternative,
  targetTag: () => tagOf(languages.target.value),
});

const files = new Files({
  zone: $("zone"),
  input: $("file"),
  list: $("jobs"),
  status: $("file-status"),
  languages: () => ({ source: languages.source.value, target: languages.target.value }),
  onDrop: () => chooseTab(1),
});

const chooseTab = startTabs(document.querySelector("[role=tablist]"));

const message = new Message({
  element: $("message"),
  text: $("message-text"),
  keyButton: $("message-key"),
  retryButton: $("message-retry"),
  onRetry: () => (languages.languages.length ? translate() : connect()),
});

/** Highlight a word and those that it is aligned with on the other side. */
function light(found, wordsOf) {
  const [sourceWords, targetWords] = found ? wordsOf(found.part, found.word) : [[], []];
  source.highlight(found?.part, sourceWords);
  target.highlight(found?.part, targetWords);
}

function fieldsFor(text) {
  return { text, source: languages.known, target: languages.target.value, terms: terms.in(text) };
}

/** Translate after a pause, unless something else is typed before. */
function schedule(pause) {
  clearTimeout(timer);
  clearTimeout(historyTimer);
  controller.abort();
  $("status").textContent = "";
  showText();
  timer = setTimeout(translate, pause);
}

function showText() {
  const { length } = source.text;
  $("count").textContent = Number.isFinite(limits.charLimit)
    ? `${length.toLocaleString("en")} / ${limits.charLimit.toLocaleString("en")}`
    : "";
  $("count").classList.toggle("over", length > limits.charLimit);
  $("clear").hidden = !length;
}

async function translate() {
  const text = source.text;
  controller.abort();
  controller = new AbortController();
  const { signal } = controller;
  message.hide();
  if (limits.keyRequired && !apiKey.get()) {
    showError(new ServiceError("This service needs an API key.", 403));
    return;
  }
  if (!text.trim()) {
    finish(0);
    languages.setDetected("");
    followLanguages();
    return;
  }
  if (text.length > limits.charLimit) {
    finish(target.shown.length);
    showError(new ServiceError("The text is too long: shorten it, or send it as a document.", 0));
    return;
  }
  const started = performance.now();
  $("result").classList.add("busy");
  $("result").ariaBusy = "true";
  const maker = new PartMaker(text);
  let count = 0;
  try {
    const fields = { ...fieldsFor(text), source: languages.source.value, details: target.canExplore };
    for await (const record of streamTranslation(fields, signal, detected)) {
      target.set(count, maker.make(record));
      count += 1;
    }
    finish(count);
    const seconds = Math.max(0.1, (performance.now() - started) / 1000);
    $("status").textContent = `Translated in ${seconds.toFixed(1)} s`;
    historyTimer = setTimeout(remember, RESTING);
  } catch (error) {
    if (signal.aborted) return;
    finish(count);
    showError(error);
  }
}

function detected(language) {
  const { direction } = terms;
  languages.setDetected(language);
  followLanguages();
  // the request has been sent with the terms of another direction
  if (terms.direction !== direction) schedule(0);
}

/** Show as many parts as there are, and what follows from them. */
function finish(count) {
  target.truncate(count);
  source.setParts(target.parts);
  $("result").classList.remove("busy");
  $("result").ariaBusy = "false";
  $("copy-button").disabled = !count;
  showNotes();
}

function showNotes() {
  showWarnings($("warnings"), target.parts);
  $("legend").hidden = !target.canExplore || !target.parts.some(({ words }) => words.length);
}

/** Replace the translation of a part; its details are those of a translation that must begin with the whole of it. */
async function applyAlternative(part, text, word) {
  const { signal } = controller;
  part.update({ text });
  target.refresh(part);
  remember();
  try {
    const record = await translateLine({ ...fieldsFor(part.source), prefix: text, details: true }, signal);
    if (record.text === text && part.text === text) part.update(record);
  } catch {
    // the text stands without details
  }
  if (signal.aborted) return; // something else has been typed
  target.refresh(part);
  source.setParts(target.parts);
  target.wordElement(part, Math.min(word, part.words.length - 1))?.focus();
  showNotes();
}

function remember() {
  history.add({ from: languages.known, to: languages.target.value, source: source.text, target: target.text });
}

/** Show a former text, or the translation as the text. */
function restore(entry) {
  languages.choose(entry.from, entry.to);
  source.text = entry.source;
  chooseTab(0);
  followLanguages();
  schedule(0);
  source.area.focus();
}

function followLanguages() {
  const from = languages.known;
  const to = languages.target.value;
  setLanguage(source.area, from);
  setLanguage(source.copy, from);
  setLanguage(target.element, to);
  setLanguage($("other-words"), to);
  if (to) terms.setDirection(languages.likely, to, [languages.nameOf(languages.likely), languages.nameOf(to)]);
}

function showError(error) {
  const isRefused = error.status === 400 && terms.in(source.text).length;
  message.show(error, isRefused ? "The terms can be switched off under Terms." : "");
}

/** Ask the service for its languages and limits. */
async function connect() {
  message.hide();
  try {
    const [settings, known] = await Promise.all([getSettings(), getLanguages()]);
    Object.assign(limits, settings);
    if (!limits.charLimit || limits.charLimit < 0) limits.charLimit = Infinity; // LibreTranslate's sign of no limit
    const first = { source: "auto", target: settings.language?.target?.code };
    languages.fill(known, load("languages", first));
    files.setEndings(settings.supportedFilesFormat ?? []);
    $("endings").textContent = `Endings: ${(settings.supportedFilesFormat ?? []).join(", ")}`;
    $("files-tab").hidden = !settings.filesTranslation;
    $("key").hidden = !settings.apiKeys && !settings.keyRequired;
    $("key-hint").textContent = settings.keyRequired
      ? "This service needs a key with every translation."
      : "A key may allow more than without one.";
    followLanguages();
    schedule(0);
  } catch (error) {
    showError(error);
  }
}

function start() {
  startDialogs();
  startTheme($("theme"));
  startKey($("key"), connect);
  const explore = $("explore");
  const setExploring = (isOn) => {
    explore.ariaPressed = String(isOn);
    target.setExploring(isOn);
    save("explore", isOn);
  };
  setExploring(load("explore", true));
  explore.addEventListener("click", () => {
    setExploring(!target.canExplore);
    const hasDetails = target.parts.every(({ words }) => words.length);
    if (target.canExplore && !hasDetails) schedule(0);
    else showNotes();
  });
  $("copy-button").addEventListener("click", async () => {
    $("status").textContent = (await copyText(target.text)) ? "Copied" : "The browser does not allow copying.";
  });
  $("clear").addEventListener("click", () => {
    source.text = "";
    schedule(0);
    source.area.focus();
  });
  connect();
}

start();
