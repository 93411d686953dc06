// Lists: "/" goes to the search field, and what is typed there searches at
// once, by asking for the same page and taking over what is in its element
// #results, and each element with data-follows, such as a link that exports
// what is found.

/** @param {(root: ParentNode) => void} attach attaches scripts to what was replaced */
export function search(attach) {
  const form = document.querySelector("form[data-search]");
  if (!(form instanceof HTMLFormElement)) return;
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
    const text = await response.text();
    const fresh = new DOMParser().parseFromString(text, "text/html");
    const results = document.getElementById("results");
    const found = fresh.getElementById("results");
    if (turn !== asked || !results || !found) return;
    history.replaceState(null, "", address);
    // The element itself goes too: it says where its news are asked for.
    results.replaceWith(document.adoptNode(found));
    for (const old of document.querySelectorAll("[data-follows][id]")) {
      const next = fresh.getElementById(old.id);
      if (next) old.replaceWith(next);
    }
    attach(found);
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
