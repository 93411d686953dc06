// Password fields: a button that shows what was typed, and a new password's
// strength as the server judges it.

/** @param {ParentNode} root */
export function passwords(root) {
  for (const button of root.querySelectorAll("button[data-show]")) {
    const input = document.getElementById(button.getAttribute("data-show") ?? "");
    if (!(button instanceof HTMLButtonElement) || !(input instanceof HTMLInputElement)) continue;
    button.hidden = false;
    button.setAttribute("aria-pressed", "false");
    const show = (/** @type {boolean} */ yes) => {
      input.type = yes ? "text" : "password";
      button.textContent = yes ? "Hide" : "Show";
      button.setAttribute("aria-pressed", String(yes));
    };
    button.addEventListener("click", () => show(input.type === "password"));
    // A browser offers to keep what was sent from a password field only.
    input.form?.addEventListener("submit", () => show(false));
  }
  for (const input of root.querySelectorAll("input[data-strength]")) {
    if (input instanceof HTMLInputElement) meter(input);
  }
}

/** @param {HTMLInputElement} input */
function meter(input) {
  const found = document.getElementById(input.dataset.strength ?? "");
  if (!found) return;
  const out = found;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  let asked = 0;
  input.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(() => void ask(++asked), 150);
  });

  /** @param {number} turn */
  async function ask(turn) {
    if (input.value === "") {
      out.hidden = true;
      return;
    }
    const body = new URLSearchParams({ password: input.value });
    for (const name of ["name", "login", "email", "organisation"]) {
      const other = input.form?.elements.namedItem(name);
      if (other instanceof HTMLInputElement) body.set(name, other.value);
    }
    const response = await fetch("/password-strength", { method: "POST", body, headers: { Accept: "application/json" } }).catch(() => null);
    if (!response?.ok || turn !== asked) return;
    /** @type {{score: number, sentence: string, accepted: boolean}} */
    const judged = await response.json();
    out.hidden = false;
    out.dataset.score = String(judged.score);
    const text = out.querySelector(".strength-text");
    if (text) text.textContent = judged.sentence;
  }
}
