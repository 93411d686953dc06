// One-time links carry their code behind the "#", which browsers do not send.
// It is moved into the form's field and out of the address, so that it stays
// neither in the history nor on a shared screen. Sending the form uses nothing
// up: only a new password does.

export function links() {
  const input = document.querySelector("input[data-from-link]");
  if (!(input instanceof HTMLInputElement)) return;
  const code = decodeURIComponent(location.hash.slice(1));
  const address = document.querySelector("input[data-from-address]");
  if (address instanceof HTMLInputElement && address.value === "") address.value = location.origin;
  if (code === "" || input.value !== "") return;
  history.replaceState(null, "", location.pathname + location.search);
  input.value = code;
  if (input.dataset.fromLink === "send") {
    input.form?.requestSubmit();
    return;
  }
  input.closest(".field")?.setAttribute("hidden", "");
  document.querySelector("[data-link-taken]")?.removeAttribute("hidden");
}
