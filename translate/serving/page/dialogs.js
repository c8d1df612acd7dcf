// Dialogs that buttons open, tabs, and the clipboard.

/** Open each <dialog> by the buttons that name it, close it by its own button or a click beside it. */
export function startDialogs() {
  for (const button of document.querySelectorAll("[data-opens]")) {
    button.addEventListener("click", () => document.getElementById(button.dataset.opens).showModal());
  }
  for (const dialog of document.querySelectorAll("dialog")) {
    dialog.querySelector("[data-role=close]").addEventListener("click", () => dialog.close());
    dialog.addEventListener("click", (event) => {
      if (event.target === dialog) dialog.close();
    });
  }
}

/** Tabs with the keys of the ARIA pattern; returns a function that chooses a tab by its number. */
export function startTabs(tablist) {
  const tabs = [...tablist.querySelectorAll("[role=tab]")];
  const choose = (index) => {
    for (const [number, tab] of tabs.entries()) {
      tab.ariaSelected = String(number === index);
      tab.tabIndex = number === index ? 0 : -1;
      document.getElementById(tab.getAttribute("aria-controls")).hidden = number !== index;
    }
  };
  for (const [index, tab] of tabs.entries()) {
    tab.addEventListener("click", () => choose(index));
    tab.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      const next = (index + step + tabs.length) % tabs.length;
      choose(next);
      tabs[next].focus();
    });
  }
  return choose;
}

/** Copy a text; navigator.clipboard is missing where the page came over plain HTTP from another machine. */
export async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = document.createElement("textarea");
    area.value = text;
    area.className = "visually-hidden";
    document.body.append(area);
    area.select();
    const isCopied = document.execCommand("copy");
    area.remove();
    return isCopied;
  }
}
