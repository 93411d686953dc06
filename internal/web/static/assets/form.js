// Forms: what was typed is not lost by leaving, a form is sent once, and what
// is wrong is said when a field is left.

/** Forms with changes that were not sent. @type {Set<HTMLFormElement>} */
const changed = new Set();

addEventListener("beforeunload", (event) => {
  if (changed.size > 0) event.preventDefault();
});

// A page that comes back from the browser's cache takes its forms again.
addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll("form[data-sent]")) form.removeAttribute("data-sent");
});

let pressed = false;
addEventListener("pointerdown", () => { pressed = true; }, true);
for (const end of ["pointerup", "pointercancel"]) addEventListener(end, () => { pressed = false; }, true);

/**
 * Acts once the pointer is up: a sentence that appears while a button is being
 * pressed would move it away from under the pointer, and the press be lost.
 * @param {() => void} act
 */
function afterPress(act) {
  if (!pressed) act();
  else for (const end of ["pointerup", "pointercancel"]) addEventListener(end, () => setTimeout(act), { once: true });
}

/**
 * Shows the browser's own sentence about a field below it.
 * @param {HTMLInputElement | HTMLTextAreaElement | HTMLSelectElement} input
 */
function judge(input) {
  const field = input.closest(".field");
  if (!field) return;
  const id = `${input.id}-invalid`;
  // What the server said was about what stood there before.
  const old = [id, `${input.id}-error`];
  for (const gone of old) document.getElementById(gone)?.remove();
  const ids = (input.getAttribute("aria-describedby") ?? "").split(" ").filter((x) => x && !old.includes(x));
  const wrong = !input.validity.valid;
  if (wrong) {
    const p = document.createElement("p");
    p.className = "wrong";
    p.id = id;
    p.textContent = input.validity.valueMissing ? "This field is needed." : input.validationMessage;
    field.append(p);
    ids.unshift(id);
  }
  field.toggleAttribute("data-wrong", wrong);
  input.setAttribute("aria-invalid", String(wrong));
  if (ids.length > 0) input.setAttribute("aria-describedby", ids.join(" "));
  else input.removeAttribute("aria-describedby");
}

/**
 * Notes that the changes of a form are stored, or wanted no more.
 * @param {HTMLFormElement} form
 */
export function settled(form) { changed.delete(form); }

/** @param {ParentNode} root */
export function forms(root) {
  // Where this page is: a provider sends the person back there, or not.
  for (const field of root.querySelectorAll("input[data-origin]")) if (field instanceof HTMLInputElement) field.value = location.origin;
  for (const form of root.querySelectorAll("form")) {
    if (form.hasAttribute("data-guard")) {
      form.addEventListener("input", () => changed.add(form));
      // What came back with errors is not stored either.
      if (form.querySelector("[data-wrong]")) changed.add(form);
    }
    form.addEventListener("submit", (event) => {
      if (event.defaultPrevented) return;
      if (form.method === "post" && form.hasAttribute("data-sent")) {
        event.preventDefault();
        return;
      }
      if (form.method === "post") form.setAttribute("data-sent", "");
      changed.delete(form);
    });
    for (const input of form.querySelectorAll("input[id], textarea[id], select[id]")) {
      if (!(input instanceof HTMLInputElement || input instanceof HTMLTextAreaElement || input instanceof HTMLSelectElement)) continue;
      input.addEventListener("change", () => afterPress(() => judge(input)));
    }
  }
  if (root !== document) return;
  const wrong = document.querySelector("[data-wrong] :is(input, select, textarea)");
  if (wrong instanceof HTMLElement) wrong.focus();
}
