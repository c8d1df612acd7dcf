// Requests to the service. Addresses are relative, so that it may lie under any path of a host.

import { load, save } from "./storage.js";

const LONGEST_WAIT = 3600; // seconds

/** A request that failed: status 0 without an answer; retryAfter in seconds, 0 where waiting does not help. */
export class ServiceError extends Error {
  constructor(message, status, retryAfter = 0) {
    super(message);
    this.status = status;
    this.retryAfter = retryAfter;
  }
}

export const apiKey = {
  get: () => load("key", "", "sessionStorage") || load("key", ""),
  set(key, remember) {
    save("key", key && !remember ? key : null, "sessionStorage");
    save("key", key && remember ? key : null);
  },
  isRemembered: () => Boolean(load("key", "")),
};

async function request(path, { json, form, signal } = {}) {
  const headers = {};
  // headers hold no other characters, and no key of the service has them: it will say that the key is wrong
  if (apiKey.get()) headers.Authorization = `Bearer ${apiKey.get().replace(/[^\x20-\x7e]/g, "?")}`;
  if (json) headers["Content-Type"] = "application/json";
  const body = json ? JSON.stringify(json) : form;
  let response;
  try {
    response = await fetch(path, { method: body ? "POST" : "GET", headers, body, signal });
  } catch (error) {
    throw error.name === "AbortError" ? error : new ServiceError("The service cannot be reached.", 0);
  }
  if (!response.ok) throw await failure(response);
  return response;
}

async function failure(response) {
  let message = `The service answered with status ${response.status}.`;
  try {
    const { error } = await response.json();
    if (typeof error === "string" && error) message = sentence(error);
  } catch {
    // no JSON: an answer of something in front of the service
  }
  const waits = response.status === 429 || response.status === 503;
  const seconds = Math.ceil(Number(response.headers.get("Retry-After"))) || 5;
  return new ServiceError(message, response.status, waits ? Math.min(Math.max(1, seconds), LONGEST_WAIT) : 0);
}

/** An error's words as a sentence. */
function sentence(words) {
  const text = words[0].toUpperCase() + words.slice(1);
  return /[.!?…]$/.test(text) ? text : `${text}.`;
}

const answer = async (path, options) => (await request(path, options)).json();

export const getSettings = () => answer("frontend/settings");
export const getLanguages = () => answer("languages");

/** The record of one line: its translation, alternatives in nbest, and details if they are wanted. */
export async function translateLine(fields, signal) {
  const { translations } = await answer("v1/translate", { json: fields, signal });
  return translations[0].lines[0] ?? null;
}

/** Parts of a translation as they arrive; onStart is called with the source language first. */
export async function* streamTranslation(fields, signal, onStart) {
  const response = await request("v1/translate/stream", { json: fields, signal });
  onStart(response.headers.get("X-Source-Language") ?? fields.source);
  for await (const line of lines(response.body)) {
    const part = parsed(line);
    if (part.error) throw new ServiceError(sentence(part.error), response.status);
    yield part;
  }
}

async function* lines(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read().catch(lost);
    if (done) break;
    const found = (rest + value).split("\n");
    rest = found.pop();
    yield* found.filter(Boolean);
  }
  if (rest) yield rest;
}

function parsed(line) {
  try {
    return JSON.parse(line);
  } catch {
    throw new ServiceError("The answer of the service is incomplete.", 0);
  }
}

function lost(error) {
  throw error.name === "AbortError" ? error : new ServiceError("The connection was lost.", 0);
}

/** Translate a file; returns the address of the translated one, which the service keeps for some minutes. */
export async function translateFile(file, source, target, signal) {
  const form = new FormData();
  form.append("file", file);
  form.append("source", source);
  form.append("target", target);
  const { translatedFileUrl } = await answer("translate_file", { form, signal });
  // a proxy may have other names for the service's host and path
  return `download_file/${encodeURIComponent(translatedFileUrl.split("/").pop())}`;
}
