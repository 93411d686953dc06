// The part of the mail settings that is about tokens: fields that suggest each
// other, the redirect address, and guides that follow what is typed.

/** @typedef {(name: string) => string} Get @typedef {(name: string, text: string) => void} Put */

/** Servers of Exchange Online. The server says the same. */
const microsoft = /^(?!smtp-hve\.).*(\.office365\.com|\.office365\.us|partner\.outlook\.cn)$/i;

/** @param {HTMLFormElement} form @param {Get} value @param {Put} set @param {() => void} changed */
export function tokens(form, value, set, changed) {
  kinds(form, value, set);
  clouds(form, value, set);
  moving(form, value, set, changed);
  const redirect = following(form, value);
  const more = document.getElementById("oauth-more");
  // Without this script the server asks about a day that stayed.
  const before = form.elements.namedItem("secret_ends_before");
  if (before instanceof HTMLInputElement) before.value = "";
  form.addEventListener("change", (event) => {
    const at = event.target;
    if (!(at instanceof HTMLInputElement)) return;
    if (at.name === "provider" && at.value === "generic") more?.setAttribute("open", "");
    // The one server there is for it; what somebody typed stays.
    if ((at.name === "auth" || at.name === "provider") && value("auth") === "oauth" && value("provider") !== "generic" && value("host") === "") set("host", "smtp.gmail.com");
    // The day of the old secret is not that of the new one.
    if (at.name === "client_secret_action") {
      const ends = form.elements.namedItem("secret_ends");
      if (ends instanceof HTMLInputElement) ends.value = at.value === "replace" ? "" : ends.defaultValue;
    }
  });
  form.addEventListener("input", redirect);
  form.addEventListener("change", redirect);
  redirect();
}

/** Each kind of server keeps its own name and port. @param {HTMLFormElement} form @param {Get} value @param {Put} set */
function kinds(form, value, set) {
  /** @type {Record<string, string[]>} */
  const kept = {};
  const names = ["host", "port", "security"];
  let kind = value("kind");
  form.addEventListener("change", (event) => {
    if (!(event.target instanceof HTMLInputElement) || event.target.name !== "kind") return;
    kept[kind] = names.map(value);
    kind = value("kind");
    const known = kept[kind] ?? (kind === "microsoft" ? [cloud()?.dataset.host ?? "", "587", "starttls"] : kind === "smtp" ? ["", "587", "starttls"] : null);
    if (known) names.forEach((name, i) => set(name, known[i] ?? ""));
  });
}

/** @returns {HTMLOptionElement | undefined} */
function cloud() {
  const list = document.getElementById("cloud");
  return list instanceof HTMLSelectElement ? list.selectedOptions[0] : undefined;
}

/** What a cloud has shows in the empty fields. @param {HTMLFormElement} form @param {Get} value @param {Put} set */
function clouds(form, value, set) {
  const list = document.getElementById("cloud");
  const note = document.getElementById("cloud-note");
  if (!(list instanceof HTMLSelectElement)) return;
  const hosts = [...list.options].map((o) => o.dataset.host ?? "");
  const usual = () => {
    const entra = value("kind") === "microsoft", alone = value("grant") === "application", graph = value("via") === "graph";
    const has = (entra ? cloud()?.dataset : value("provider") === "generic" ? undefined : document.getElementById("oauth-more")?.dataset) ?? {};
    const app = alone ? has.appScopes : has.scopes, overGraph = alone ? has.graphAppScopes : has.graphScopes;
    /** @type {Record<string, string | undefined>} */
    const hints = { authorize_url: has.authorize, token_url: has.token, graph_url: has.graph, scopes: entra ? graph ? overGraph : app : has.scopes };
    for (const [name, hint] of Object.entries(hints)) {
      const field = form.elements.namedItem(name);
      if (field instanceof HTMLInputElement) field.placeholder = (hint ?? "").replace("{tenant}", value("tenant") || "{tenant}");
    }
  };
  list.addEventListener("change", () => {
    const chosen = cloud();
    if (note) note.textContent = chosen?.dataset.note ?? "";
    if (value("kind") === "microsoft" && (value("host") === "" || hosts.includes(value("host")))) set("host", chosen?.dataset.host ?? "");
  });
  form.addEventListener("change", usual);
}

/** Offers OAuth 2.0 for a server of Microsoft's. @param {HTMLFormElement} form @param {Get} value @param {Put} set @param {() => void} changed */
function moving(form, value, set, changed) {
  const box = document.getElementById("move");
  const button = box?.querySelector("button");
  if (!box || !button) return;
  const judge = () => { box.hidden = !microsoft.test(value("host")) || value("signin") !== "true" || value("auth") === "oauth"; };
  form.addEventListener("input", judge);
  form.addEventListener("change", judge);
  button.type = "button";
  button.addEventListener("click", () => {
    const host = value("host"), sender = value("sender_address"), user = value("username");
    choose(form, "kind", "microsoft");
    set("host", host);
    if (sender === "" && user.includes("@")) set("sender_address", user);
    document.getElementById("guide")?.setAttribute("open", "");
    changed();
    document.getElementById("tenant")?.focus();
  });
}

/** Chooses as a person does. @param {HTMLFormElement} form @param {string} name @param {string} value */
function choose(form, name, value) {
  const radio = form.querySelector(`input[name=${name}][value=${value}]`);
  if (!(radio instanceof HTMLInputElement)) return;
  radio.checked = true;
  radio.dispatchEvent(new Event("change", { bubbles: true }));
}

/** What may stand in a script: nothing that a shell takes for more than a word. @param {string} text */
const plain = (text) => text.length <= 300 && /^[A-Za-z0-9@._:/+-]+$/.test(text);

/**
 * Returns what brings the redirect address and the guides up to date.
 * @param {HTMLFormElement} form @param {Get} value
 */
function following(form, value) {
  const shown = document.getElementById("redirect_uri");
  const note = document.getElementById("redirect-note");
  const port = document.getElementById("redirect-port");
  const words = new Map([...form.querySelectorAll("[data-fill]")].map((at) => [at, at.matches("code") ? "" : hint(at)]));
  return () => {
    const access = value("access_url").replace(/\/+$/, "");
    const uri = access + (value("redirect_path") || "/oauth/mail/callback");
    if (shown instanceof HTMLInputElement) shown.value = uri;
    const why = warning(access);
    if (note) {
      note.textContent = why;
      note.hidden = why === "";
    }
    const number = parse(access)?.port ?? "";
    if (port) {
      port.hidden = number === "";
      const b = port.querySelector("b");
      if (b) b.textContent = number;
    }
    /** @type {Record<string, string>} */
    const all = {
      redirect: uri, sender: value("sender_address"), signer: value("mailbox") || value("sender_address"), licensed: value("mailbox"),
      tenant: value("tenant"), client: value("client_id"),
    };
    for (const [at, instead] of words) {
      const text = all[at.getAttribute("data-fill") ?? ""] ?? "";
      const ready = instead === "" ? text || "the sender" : plain(text) ? text : instead;
      if (at.textContent !== ready) at.textContent = ready;
    }
  };
}

/** The word that stands in a script for what is not typed yet. @param {Element} at */
const hint = (at) => ({ redirect: "REDIRECT-URI", sender: "SENDER", signer: "MAILBOX", licensed: "LICENSED-USER", tenant: "TENANT", client: "CLIENT-ID" })[at.getAttribute("data-fill") ?? ""] ?? "VALUE";

/** @param {string} text */
function parse(text) {
  try { return new URL(text); } catch { return null; }
}

/** Why nobody would come back to an address. The server says the same. @param {string} access */
function warning(access) {
  const url = parse(access);
  if (!url) return "Type the Access URL first: the provider sends you back there.";
  if (url.protocol === "http:" && !/^(localhost|127\.[\d.]+|\[::1\])$/.test(url.hostname)) return "Providers send people back to https alone. Give Sealpost a certificate and an Access URL with https.";
  if (url.origin !== location.origin) return `The provider sends you back to ${url.origin}, and you are at ${location.origin}. Open Sealpost there before you sign in, or correct the Access URL.`;
  return "";
}
