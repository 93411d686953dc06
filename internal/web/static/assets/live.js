// Parts of a page that change by themselves: data-live="ADDRESS" asks for the
// part again and replaces it where it differs. It asks less and less often
// while nothing changes, and not at all while nobody is there: asking keeps a
// session alive, which an open page alone must not.

import { attach } from "./sealpost.js";

const soon = 3000;
const late = 30_000;
const patience = 10 * 60_000;

let touched = Date.now();
for (const event of ["pointerdown", "pointermove", "keydown", "scroll"]) {
  addEventListener(event, () => { touched = Date.now(); }, { passive: true });
}

const present = () => !document.hidden && Date.now() - touched < patience;

/** Somebody is in the middle of something in there. @param {Element} part */
const busy = (part) => part.contains(document.activeElement) && document.activeElement !== document.body || part.querySelector("details[open], dialog[open]") !== null;

/** The part as the server sends it, without the times that go on. @param {Element} part */
const gist = (part) => part.outerHTML.replace(/<time[^>]*>[^<]*<\/time>/g, "").replace(/ hidden(="")?/g, "");

/**
 * Asks for a part once.
 * @param {string} id
 * @param {string} address
 * @returns {Promise<boolean>} whether it changed
 */
async function look(id, address) {
  const response = await fetch(address).catch(() => null);
  if (!response?.ok || response.redirected) return false;
  const fresh = new DOMParser().parseFromString(await response.text(), "text/html").getElementById(id);
  const old = document.getElementById(id);
  if (!fresh || !old || busy(old)) return false;
  // A search that came between shows something else by now.
  if (old.getAttribute("data-live") !== address) return true;
  if (shown.get(old) === gist(fresh)) return false;
  shown.set(fresh, gist(fresh));
  old.replaceWith(fresh);
  attach(fresh);
  return true;
}

/** What the server sent for a part that shows. @type {WeakMap<Element, string>} */
const shown = new WeakMap();

/**
 * Asks for a part once, where somebody is there to see it.
 * @param {string} id
 */
export async function again(id) {
  const address = document.getElementById(id)?.getAttribute("data-live");
  if (address && present()) await look(id, address);
}

/**
 * Asks for a part again and again.
 * @param {string} id
 * @param {number} [wait]
 */
export function follow(id, wait = soon) {
  setTimeout(async () => {
    const part = document.getElementById(id);
    const address = part?.getAttribute("data-live");
    if (!part || !address) return;
    if (!present()) {
      follow(id, wait);
      return;
    }
    const changed = await look(id, address);
    follow(id, changed ? soon : Math.min(wait * 1.5, late));
  }, wait);
}

for (const part of document.querySelectorAll("[data-live][id]")) {
  shown.set(part, gist(part));
  // A part with data-events hears of what changes: see journal.js.
  if (!part.hasAttribute("data-events")) follow(part.id);
}
