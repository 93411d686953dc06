// Buttons that copy: data-copy="ID" copies the value or the text of that
// element.

/**
 * Copies a text and says so on the button for a moment.
 * @param {HTMLElement} button
 * @param {string} text
 * @param {HTMLElement | null} source selected where the clipboard is closed to us
 */
export async function copyText(button, text, source) {
  const words = button.textContent;
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch {
    if (source instanceof HTMLInputElement) source.select();
    button.textContent = "Press Ctrl+C";
  }
  setTimeout(() => { button.textContent = words; }, 2000);
}

/** @param {ParentNode} root */
export function copyButtons(root) {
  for (const button of root.querySelectorAll("button[data-copy]")) {
    if (!(button instanceof HTMLButtonElement)) continue;
    button.hidden = false;
    button.addEventListener("click", () => {
      const source = document.getElementById(button.dataset.copy ?? "");
      if (!source) return;
      const text = source instanceof HTMLInputElement || source instanceof HTMLTextAreaElement ? source.value : source.innerText;
      void copyText(button, text, source);
    });
  }
}
