// Theme and API key.

import { apiKey } from "./api.js";
import { load, save } from "./storage.js";

/** The choice between the system's theme, light and dark. */
export function startTheme(fieldset) {
  const chosen = load("theme", "system");
  for (const input of fieldset.elements) {
    input.checked = input.value === chosen;
    input.addEventListener("change", () => {
      save("theme", input.value);
      if (input.value === "system") delete document.documentElement.dataset.theme;
      else document.documentElement.dataset.theme = input.value;
    });
  }
}

/** The field of the API key, which is kept until the tab is closed, or longer if the user wishes. */
export function startKey(fieldset, onChange) {
  const { key, remember } = fieldset.elements;
  key.value = apiKey.get();
  remember.checked = apiKey.isRemembered();
  const changed = () => {
    apiKey.set(key.value.trim(), remember.checked);
    onChange();
  };
  key.addEventListener("change", changed);
  remember.addEventListener("change", changed);
}
