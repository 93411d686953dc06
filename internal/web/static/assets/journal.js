// The mail journal while it is open: the server tells what changes, and the
// numbers and rows follow. Where it does not, because too many pages listen or a
// proxy keeps the answer, the list is asked for again from time to time.

import { again, follow } from "./live.js";
import { attach } from "./sealpost.js";

const results = () => document.getElementById("results");

/** Somebody is in the middle of something in there. @param {Element} part */
const busy = (part) => part.contains(document.activeElement) && document.activeElement !== document.body;

/** @param {string} html @returns {Element | null} */
function made(html) {
  const template = document.createElement("template");
  template.innerHTML = html;
  return template.content.firstElementChild;
}

/** @param {string} at */
function asOf(at) {
  const time = document.querySelector("#as-of time");
  if (!time) return;
  time.setAttribute("datetime", at);
  const line = time.closest(".counts-as-of");
  if (line) attach(line);
}

/** @param {string} html */
function counts(html) {
  const old = document.getElementById("counts");
  const fresh = made(html);
  if (!old || !fresh) return;
  // What did not change stays, with the focus that it may have.
  if (old.children.length !== fresh.children.length) return;
  for (const [i, item] of [...fresh.children].entries()) {
    const before = old.children[i];
    if (before.outerHTML === item.outerHTML) continue;
    const focused = busy(before);
    before.replaceWith(item);
    if (focused) item.querySelector("a")?.focus();
  }
  attach(old);
}

/** How many rows a first page grows to. */
const most = 100;

/** @param {{id: string, html: string}} row */
function letter({ id, html }) {
  const list = results();
  const fresh = made(html);
  const body = list?.querySelector("tbody");
  if (!list || !fresh || !body) return;
  const old = body.querySelector(`[data-letter="${CSS.escape(id)}"]`);
  if (old) {
    if (old.getAttribute("data-key") === fresh.getAttribute("data-key") || busy(old)) return;
    fresh.classList.add("moved");
    old.replaceWith(fresh);
    attach(fresh);
    return;
  }
  // Ids begin with the time: a letter that is newer than the first one goes on
  // top of a list of all.
  const first = body.querySelector("[data-letter]")?.getAttribute("data-letter") ?? "";
  if (!list.hasAttribute("data-newest") || id <= first) return;
  fresh.classList.add("moved");
  body.prepend(fresh);
  attach(fresh);
  if (body.children.length > most) body.lastElementChild?.remove();
}

/** How long a list that was searched for rests before it is asked for again. */
const rest = 3000;
let asking = false;

/** What fits a search is the server's to say: the list is asked for, now and then. */
function searched() {
  if (asking || results()?.hasAttribute("data-newest")) return;
  asking = true;
  setTimeout(() => {
    asking = false;
    void again("results");
  }, rest);
}

/** The list is asked for instead. */
function ask() {
  if (results()) follow("results");
}

function listen() {
  const address = results()?.getAttribute("data-events");
  if (!address) return;
  const source = new EventSource(address);
  source.addEventListener("journal", (event) => {
    const news = JSON.parse(event.data);
    counts(news.counts);
    asOf(news.at);
    // A list that was empty has no table yet.
    if (!results()?.querySelector("tbody") && results()?.hasAttribute("data-newest") && news.rows?.length) {
      location.reload();
      return;
    }
    for (const row of news.rows ?? []) letter(row);
    if (news.rows?.length) searched();
    document.documentElement.dataset.follows = "journal";
  });
  source.addEventListener("at", (event) => asOf(event.data));
  source.addEventListener("over", () => source.close());
  source.addEventListener("error", () => {
    // The browser comes back by itself, unless the server said no.
    if (source.readyState === EventSource.CLOSED) ask();
  });
  addEventListener("pagehide", () => source.close(), { once: true });
}

listen();
// A page that was kept for coming back to listens again.
addEventListener("pageshow", (event) => { if (event.persisted) listen(); });
