// What the page keeps in this browser, and nowhere else. Without storage everything works, but nothing is kept.

const PREFIX = "translate.";

/** A value kept before, or the fallback. */
export function load(name, fallback, storage = "localStorage") {
  try {
    const text = window[storage].getItem(PREFIX + name);
    return text === null ? fallback : JSON.parse(text);
  } catch {
    return fallback;
  }
}

/** Keep a value; null removes it. Returns false if the browser refuses. */
export function save(name, value, storage = "localStorage") {
  try {
    if (value === null) window[storage].removeItem(PREFIX + name);
    else window[storage].setItem(PREFIX + name, JSON.stringify(value));
    return true;
  } catch {
    return false;
  }
}
