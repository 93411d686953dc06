// Lists: "/" goes to the search field, and what is typed there searches at
// once, by asking for the same page and replacing the element #results.

/** @param {(root: ParentNode) => void} attach attaches scripts to what was replaced */
export function search(attach) {
  const form = document.querySelector("form[data-search]");
  if (!(form instanceof HTMLFormElement)) return;
  for (const button of form.querySelectorAll("[data-noscript]")) button.setAttribute("hidden", "");
  const input = form.querySelector("input[type=search]");
  addEventListener("keydown", (event) => {
    const at = event.target;
    const typing = at instanceof HTMLElement && at.closest("input, textarea, select, dialog, [contenteditable]");
    if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey || typing) return;
    event.preventDefault();
    if (input instanceof HTMLInputElement) input.select();
    if (input instanceof HTMLInputElement) input.focus();
  });

  let asked = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  const now = async () => {
    const turn = ++asked;
    const query = new URLSearchParams();
    for (const [name, value] of new FormData(form)) if (typeof value === "string" && value !== "") query.append(name, value);
    const address = location.pathname + (query.size > 0 ? `?${query}` : "");
    const response = await fetch(address).catch(() => null);
    if (turn !== asked) return;
    if (!response?.ok || response.redirected) {
      location.assign(address);
      return;
    }
    const fresh = new DOMParser().parseFromString(await response.text(), "text/html").getElementById("results");
    if (turn !== asked || !fresh) return;
    history.replaceState(null, "", address);
    document.getElementById("results")?.replaceWith(fresh);
    attach(fresh);
  };
  form.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(() => void now(), 200);
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    clearTimeout(timer);
    void now();
  });
}
