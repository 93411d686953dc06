// Dialogs: a link with data-dialog="ID" leads to the page with the dialog
// open; with this script it opens where one is. data-close closes it.

/** @param {ParentNode} root */
export function dialogs(root) {
  for (const link of root.querySelectorAll("[data-dialog]")) {
    link.addEventListener("click", (event) => {
      const dialog = document.getElementById(link.getAttribute("data-dialog") ?? "");
      if (!(dialog instanceof HTMLDialogElement)) return;
      event.preventDefault();
      dialog.showModal();
    });
  }
  for (const dialog of root.querySelectorAll("dialog[open]")) {
    if (!(dialog instanceof HTMLDialogElement) || dialog.matches(":modal")) continue;
    dialog.close();
    dialog.showModal();
  }
  for (const button of root.querySelectorAll("dialog [data-close]")) {
    button.addEventListener("click", (event) => {
      event.preventDefault();
      button.closest("dialog")?.close();
    });
  }
}
