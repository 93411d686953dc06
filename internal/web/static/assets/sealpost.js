// The script of every page: each module attaches itself to elements by their
// data attributes and leaves pages without them alone.

import { copyButtons } from "./copy.js";
import { dialogs } from "./dialog.js";
import { forms } from "./form.js";
import { links } from "./link.js";
import { passwords } from "./password.js";
import { search } from "./search.js";
import { times } from "./time.js";

/**
 * Attaches everything to a part of the page.
 * @param {ParentNode} root
 */
export function attach(root) {
  times(root);
  copyButtons(root);
  passwords(root);
  dialogs(root);
  forms(root);
}

attach(document);
search(attach);
links();
