// One-time links carry their code behind the "#", which browsers do not send.
// It is moved into the form's field and out of the address, so that it stays
// neither in the history nor on a shared screen. Sending the form uses nothing
// up: only a new password does.

export function links() {
  take();
  // Pasting the link while the page is open changes nothing but the code.
  addEventListener("hashchange", take);
}

function take() {
  const input = document.querySelector("input[data-from-link]");
  if (!(input instanceof HTMLInputElement)) return;
  const address = document.querySelector("input[data-from-address]");
  if (address instanceof HTMLInputElement && address.value === "") address.value = location.origin;
  const code = location.hash.slice(1);
  if (code === "") return;
  history.replaceState(null, "", location.pathname + location.search);
  input.value = code;
  if (input.dataset.fromLink === "send") {
    input.form?.requestSubmit();
    return;
  }
  input.closest(".field")?.setAttribute("hidden", "");
  document.querySelector("[data-link-taken]")?.removeAttribute("hidden");
}
