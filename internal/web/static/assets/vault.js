// The vault: passwords that show for half a minute, copies that leave the
// clipboard, and the generator.

/** How long a password shows and stays in the clipboard, in milliseconds. */
const patience = 30_000;

/**
 * Asks for the reason where the resource wants one.
 * @param {HTMLFormElement} form
 * @returns {Promise<string | null>} null where the person changed their mind
 */
function reason(form) {
  const dialog = document.getElementById("reason-dialog");
  const input = document.getElementById("reason-text");
  if (!form.hasAttribute("data-ask") || !(dialog instanceof HTMLDialogElement) || !(input instanceof HTMLInputElement)) return Promise.resolve("");
  input.value = "";
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "go" ? input.value.trim() : null), { once: true });
  });
}

/**
 * Shows a sentence beside a form until the next one.
 * @param {HTMLFormElement} form
 * @param {string} text
 */
function say(form, text) {
  let out = form.querySelector(".said");
  if (!out) {
    out = document.createElement("p");
    out.className = "said wrong";
    out.setAttribute("role", "alert");
    form.append(out);
  }
  out.textContent = text;
}

/**
 * Takes a password out.
 * @param {HTMLFormElement} form
 * @param {string} how "reveal" or "copy"
 * @returns {Promise<string | null>}
 */
async function take(form, how) {
  const why = await reason(form);
  if (why === null) return null;
  const body = new URLSearchParams({ how, reason: why });
  const version = form.elements.namedItem("version");
  if (version instanceof HTMLInputElement) body.set("version", version.value);
  const response = await fetch(form.action, { method: "POST", body, headers: { Accept: "application/json" } }).catch(() => null);
  form.querySelector(".said")?.remove();
  if (response?.status === 401) {
    location.reload();
    return null;
  }
  if (!response) {
    say(form, "Sealpost does not answer. Try again.");
    return null;
  }
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) {
    say(form, answer.error ?? "This did not work. Reload the page.");
    return null;
  }
  return answer.password;
}

/**
 * Shows a password in its row and hides it again.
 * @param {HTMLFormElement} form
 * @param {HTMLButtonElement} button
 */
function toggle(form, button) {
  const row = form.closest("[data-account]");
  const shown = row?.querySelector("[data-secret]");
  const mask = row?.querySelector("[data-mask]");
  if (!(shown instanceof HTMLElement) || !(mask instanceof HTMLElement)) return;
  const words = button.innerHTML;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  const hide = () => {
    clearTimeout(timer);
    shown.textContent = "";
    shown.hidden = true;
    mask.hidden = false;
    button.innerHTML = words;
  };
  return async () => {
    if (!shown.hidden) {
      hide();
      return;
    }
    const password = await take(form, "reveal");
    if (password === null) return;
    shown.textContent = password;
    shown.hidden = false;
    mask.hidden = true;
    button.textContent = "Hide";
    timer = setTimeout(hide, patience);
  };
}

/**
 * Copies a password and takes it out of the clipboard again where the browser
 * lets us look whether it is still there.
 * @param {HTMLFormElement} form
 * @param {HTMLButtonElement} button
 */
async function copy(form, button) {
  const password = await take(form, "copy");
  if (password === null) return;
  const words = button.innerHTML;
  try {
    await navigator.clipboard.writeText(password);
  } catch {
    say(form, "The browser does not let this page use the clipboard. Use Reveal.");
    return;
  }
  button.textContent = "Copied for 30 s";
  setTimeout(async () => {
    button.innerHTML = words;
    const held = await navigator.clipboard.readText().catch(() => password);
    if (held === password) await navigator.clipboard.writeText("").catch(() => {});
  }, patience);
}

for (const form of document.querySelectorAll("form[data-reveal]")) {
  if (!(form instanceof HTMLFormElement)) continue;
  const reveal = form.querySelector("button[value=reveal]");
  const copies = form.querySelector("button[data-copy-secret]");
  /** @type {(() => Promise<void>) | undefined} */
  let show;
  if (reveal instanceof HTMLButtonElement) show = toggle(form, reveal);
  if (copies instanceof HTMLButtonElement && navigator.clipboard) copies.hidden = false;
  form.addEventListener("submit", (event) => {
    const by = event.submitter;
    if (by === copies && copies instanceof HTMLButtonElement) {
      event.preventDefault();
      void copy(form, copies);
    } else if (show) {
      event.preventDefault();
      void show();
    }
  }, { capture: true });
}

for (const button of document.querySelectorAll("button[data-generate]")) {
  if (!(button instanceof HTMLButtonElement)) continue;
  const form = button.form;
  const password = form?.elements.namedItem("password");
  const out = form?.querySelector("[data-bits]");
  if (!form || !(password instanceof HTMLInputElement)) continue;
  button.type = "button";
  button.addEventListener("click", async () => {
    const body = new URLSearchParams();
    for (const field of form.querySelectorAll(".generator input")) {
      if (!(field instanceof HTMLInputElement)) continue;
      if ((field.type === "checkbox" || field.type === "radio") && !field.checked) continue;
      body.set(field.name, field.value);
    }
    const response = await fetch("/generator", { method: "POST", body, headers: { Accept: "application/json" } }).catch(() => null);
    const answer = await response?.json().catch(() => null);
    if (!out) return;
    if (!response?.ok || !answer) {
      out.textContent = answer?.fields?.[0]?.sentence ?? answer?.error ?? "Sealpost does not answer. Try again.";
      return;
    }
    password.value = answer.password;
    password.type = "text";
    password.dispatchEvent(new Event("input", { bubbles: true }));
    password.dispatchEvent(new Event("change", { bubbles: true }));
    out.textContent = `${answer.bits} bits: ${answer.meaning}`;
  });
}
