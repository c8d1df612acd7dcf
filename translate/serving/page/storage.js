// What the page keeps in this browser, and nowhere else. Without storage everything works, but nothing is kept.

const PREFIX = "translate.";

/** A value kept before, or the fallback, also instead of a value of another type. */
export function load(name, fallback, storage = "localStorage") {
  try {
    const value = JSON.parse(window[storage].getItem(PREFIX + name)) ?? fallback;
    return kindOf(value) === kindOf(fallback) ? value : fallback;
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

/** Call back when another tab has changed a value. */
export function onChange(name, callback) {
  window.addEventListener("storage", ({ key }) => {
    if (key === PREFIX + name()) callback();
  });
}

const kindOf = (value) => (Array.isArray(value) ? "list" : typeof value);
