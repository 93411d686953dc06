// The mail server's settings: parts of the form that suggest each other, the
// search for an account, the test with its steps as they happen, and saving
// without losing what was typed.

import { attach } from "./sealpost.js";
import { settled } from "./form.js";
import { tokens } from "./oauth.js";

const form = document.getElementById("settings");
if (form instanceof HTMLFormElement) settings(form);

/** @param {HTMLFormElement} form */
function settings(form) {
  /** @param {string} name */
  const value = (name) => {
    const field = form.elements.namedItem(name);
    if (field instanceof RadioNodeList) return field.value;
    if (field instanceof HTMLInputElement) return field.type === "checkbox" ? String(field.checked) : field.value.trim();
    return field instanceof HTMLSelectElement || field instanceof HTMLTextAreaElement ? field.value : "";
  };
  /** @param {string} name @param {string} text */
  const set = (name, text) => {
    const field = form.elements.namedItem(name);
    if (field instanceof RadioNodeList) field.value = text;
    else if (field instanceof HTMLInputElement && field.type === "checkbox") field.checked = text === "true";
    else if (field instanceof HTMLInputElement || field instanceof HTMLSelectElement) field.value = text;
  };
  const changed = () => form.dispatchEvent(new Event("input", { bubbles: true }));

  suggestions(form, value, set, changed);
  accounts(form, value);
  accessURL(form);
  tokens(form, value, set, changed);
  sending(form, changed);
}

/** What a field's value is, and how it is set. @typedef {(name: string) => string} Get @typedef {(name: string, text: string) => void} Put */

/**
 * Presets, port and secure connection, and the password's bond.
 * @param {HTMLFormElement} form @param {Get} value @param {Put} set @param {() => void} changed
 */
function suggestions(form, value, set, changed) {
  /** @type {Record<string, string>} */
  const usual = { none: "25", starttls: "587", implicit: "465" };
  const note = document.getElementById("port-note");
  /** @param {string} text */
  const say = (text) => { if (note) note.textContent = text; };

  form.addEventListener("change", (event) => {
    if (!(event.target instanceof HTMLInputElement)) return;
    const port = value("port"), security = value("security");
    say("");
    if (event.target.name === "security" && (port === "" || Object.values(usual).includes(port)) && usual[security] && usual[security] !== port) {
      set("port", usual[security]);
      say(`Port ${usual[security]} goes with it.`);
    }
    if (event.target.name === "port") {
      const fits = port === "465" ? "implicit" : port === "587" ? "starttls" : "";
      if (fits && fits !== security) {
        set("security", fits);
        say(fits === "implicit" ? "Port 465 begins with TLS: SSL is chosen." : "Port 587 turns to TLS after the greeting: TLS is chosen.");
      }
    }
  });

  for (const chip of form.querySelectorAll(".chips button[name=preset]")) {
    if (!(chip instanceof HTMLButtonElement)) continue;
    chip.type = "button";
    chip.addEventListener("click", () => {
      set("host", chip.dataset.host ?? "");
      set("port", chip.dataset.port ?? "");
      set("security", chip.dataset.security ?? "");
      set("signin", chip.dataset.signin ?? "true");
      if (chip.dataset.auth) set("auth", chip.dataset.auth);
      else if (value("auth") === "oauth") set("auth", "typed");
      if (chip.dataset.provider) set("provider", chip.dataset.provider);
      const hint = document.getElementById("preset-hint");
      if (hint) {
        hint.textContent = chip.dataset.hint ?? "";
        hint.hidden = false;
      }
      say("");
      changed();
      for (const name of ["host", "port"]) {
        const field = form.elements.namedItem(name);
        if (field instanceof HTMLInputElement && field.value !== "") field.dispatchEvent(new Event("change"));
      }
    });
  }

  for (const note of form.querySelectorAll("[data-bound]")) if (note instanceof HTMLElement && note.dataset.bound) bond(form, note, value, set);
}

/**
 * Asks for a stored secret again as soon as it would go elsewhere.
 * @param {HTMLFormElement} form @param {HTMLElement} note @param {Get} value @param {Put} set
 */
function bond(form, note, value, set) {
  const by = (note.dataset.by ?? "").split(" ");
  const secrets = note.dataset.secret === "client" ? ["client_secret", "client_key"] : [note.dataset.secret ?? ""];
  let asked = false;
  const compare = () => {
    const now = by.map(value).join("\n");
    const other = now !== note.dataset.bound || form.querySelector("[name=candidate]") !== null;
    for (const name of secrets) {
      if (other && value(`${name}_action`) === "keep") {
        set(`${name}_action`, "replace");
        asked = true;
      } else if (!other && asked && value(name) === "") {
        set(`${name}_action`, "keep");
      }
    }
    if (!other) asked = false;
    note.hidden = !other;
  };
  for (const event of ["change", "input", "rebound"]) form.addEventListener(event, compare);
}

/** Searches accounts while one types. @param {HTMLFormElement} form @param {Get} value */
function accounts(form, value) {
  const text = document.getElementById("account_text");
  const box = document.getElementById("accounts");
  const find = document.getElementById("find");
  if (!(text instanceof HTMLInputElement) || !box) return;
  if (find) find.hidden = true;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  let asked = 0;
  const search = async () => {
    const turn = ++asked;
    const query = new URLSearchParams({ q: text.value, chosen: value("account") });
    const response = await fetch(`${form.getAttribute("action")}/accounts?${query}`).catch(() => null);
    if (!response?.ok || response.redirected || turn !== asked) return;
    box.innerHTML = await response.text();
    attach(box);
  };
  text.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(() => void search(), 200);
  });
  text.addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault();
    clearTimeout(timer);
    void search();
  });
}

/** Says whether links will lead to where this page is. @param {HTMLFormElement} form */
function accessURL(form) {
  const field = form.elements.namedItem("access_url");
  const note = document.getElementById("access-note");
  if (!(field instanceof HTMLInputElement) || !note) return;
  const judge = () => {
    const same = field.value.trim().replace(/\/+$/, "") === location.origin;
    note.dataset.tone = same ? "" : "warn";
    note.textContent = same ? "You opened this page through the same address."
      : `You opened this page through ${location.origin}. If people reach Sealpost there, links in mails should start with that.`;
  };
  field.addEventListener("input", judge);
  judge();
}

/** A failure as the server tells it. @typedef {{error: string, code?: string, fields?: {field: string, sentence: string}[], reference?: string}} Failure */

/**
 * Shows what is wrong at the fields, and the rest above the form.
 * @param {HTMLFormElement} form @param {Failure | null} failure
 */
function show(form, failure) {
  for (const old of document.querySelectorAll("[data-told]")) old.remove();
  for (const field of form.querySelectorAll("[data-wrong]")) field.removeAttribute("data-wrong");
  for (const input of form.querySelectorAll("[aria-invalid]")) input.removeAttribute("aria-invalid");
  if (!failure) return;
  /** @type {HTMLElement | null} */
  let first = null;
  /** @type {string[]} */
  const rest = [];
  for (const { field, sentence } of failure.fields ?? []) {
    if (field === "own_password") document.getElementById("own")?.removeAttribute("hidden");
    if (["password", "client_secret", "client_key"].includes(field)) choose(form, `${field}_action`, "replace");
    const input = document.getElementById(field === "account" ? "account_text" : field) ?? form.querySelector(`input[name="${CSS.escape(field)}"]`);
    const box = input?.closest(".field");
    if (!(input instanceof HTMLElement) || !box || input.offsetParent === null && !input.closest("details")) {
      rest.push(sentence);
      continue;
    }
    input.closest("details")?.setAttribute("open", "");
    document.getElementById(`${field}-invalid`)?.remove();
    const p = document.createElement("p");
    p.className = "wrong";
    p.id = `${field}-told`;
    p.dataset.told = "";
    p.textContent = sentence;
    box.append(p);
    box.setAttribute("data-wrong", "");
    if (!(input instanceof HTMLInputElement && input.type === "radio")) input.setAttribute("aria-invalid", "true");
    input.setAttribute("aria-describedby", `${p.id} ${input.getAttribute("aria-describedby") ?? ""}`.trim());
    first ??= input;
  }
  if ((failure.fields ?? []).length === 0) rest.push(failure.error);
  if (rest.length > 0) {
    const alert = document.createElement("div");
    alert.className = "alert";
    alert.setAttribute("role", "alert");
    alert.dataset.told = "";
    const p = document.createElement("p");
    p.textContent = rest.join(" ");
    alert.append(p);
    form.before(alert);
    // The alert takes the first row of the grid, above both columns.
    alert.classList.add("across");
    first ??= alert;
  }
  first?.scrollIntoView({ block: "nearest" });
  if (first instanceof HTMLInputElement) first.focus();
}

/** @param {HTMLFormElement} form @param {string} name @param {string} value */
function choose(form, name, value) {
  const radio = form.querySelector(`input[type=radio][name=${name}][value=${value}]`);
  if (radio instanceof HTMLInputElement) radio.checked = true;
}

/** @param {Response | null} response @returns {Promise<Failure>} */
async function failureOf(response) {
  if (!response) return { error: "Sealpost does not answer. Is it running?" };
  if (response.status === 401) location.reload();
  return response.json().catch(() => ({ error: "Sealpost answered with something else than expected. Reload the page." }));
}

/** A line of the test. @typedef {{into?: string, step?: string, group?: string, html?: string, end?: boolean, passed?: boolean, token?: string, transcript?: string, error?: string}} Line */

/**
 * The test, and saving.
 * @param {HTMLFormElement} form @param {() => void} changed
 */
function sending(form, changed) {
  const part = (/** @type {string} */ id) => /** @type {HTMLElement} */ (document.getElementById(id));
  const steps = part("steps"), checks = part("checks"), verdict = part("verdict"), transcript = part("transcript-box");
  const test = part("test"), cancel = part("cancel"), anyway = part("anyway");
  const save = document.getElementById("save"), signIn = document.getElementById("consent");
  const token = form.elements.namedItem("test_token");
  if (!(token instanceof HTMLInputElement) || !(save instanceof HTMLElement)) return;
  /** @type {AbortController | null} */
  let running = null;

  const setToken = (/** @type {string} */ text) => {
    token.value = text;
    save.textContent = text ? "Save" : "Test and save";
  };
  // A test vouches for what was tested: a change ends that.
  form.addEventListener("input", (event) => {
    const at = event.target;
    const harmless = at instanceof HTMLInputElement && ["sender_name", "reply_to", "access_url", "own_password", "account_text", "secret_ends", "redirect_path"].includes(at.name);
    if (!harmless) setToken("");
  });

  /** @param {string} address @param {string} accept @param {Record<string, string>} extra @param {AbortSignal} [signal] */
  const post = (address, accept, extra, signal) => {
    const body = new FormData(form);
    for (const [name, text] of Object.entries(extra)) body.append(name, text);
    return fetch(address, { method: "POST", body, headers: { Accept: accept }, signal: signal ?? null }).catch(() => null);
  };

  const files = form.querySelector("input[name=authority]");
  /** Shows the certificates that the form carries, those of its files too. @param {string} html */
  const carry = (html) => {
    part("candidates").innerHTML = html;
    attach(part("candidates"));
    if (files instanceof HTMLInputElement) files.value = "";
    form.dispatchEvent(new Event("rebound"));
  };
  files?.addEventListener("change", async () => {
    show(form, null);
    const response = await post(`${form.getAttribute("action")}/fill`, "application/json", {});
    if (response?.ok) carry(await response.text());
    else show(form, await failureOf(response));
  });

  /** @param {Line} line */
  const take = (line) => {
    if (line.into === "candidates") carry(line.html ?? "");
    if (line.into === "stored-test") {
      const told = document.getElementById(line.into);
      if (told) told.innerHTML = line.html ?? "";
    }
    if (line.step) {
      const holder = document.createElement("ol");
      holder.innerHTML = line.html ?? "";
      const li = holder.firstElementChild;
      const old = steps.querySelector(`[data-key="${CSS.escape(line.step)}"]`);
      if (!li) return;
      if (old) old.replaceWith(li);
      else steps.append(li);
      attach(li);
    }
    if (line.group) {
      const holder = document.createElement("div");
      holder.innerHTML = line.html ?? "";
      const box = holder.firstElementChild;
      const old = checks.querySelector(`details[data-key="${CSS.escape(line.group)}"]`);
      if (!(box instanceof HTMLDetailsElement)) return;
      if (old instanceof HTMLDetailsElement) {
        box.open = old.open;
        old.replaceWith(box);
      } else checks.append(box);
      attach(box);
    }
    if (line.end && !line.error) {
      verdict.innerHTML = line.html ?? "";
      transcript.innerHTML = line.transcript ?? "";
      attach(transcript);
      steps.querySelector("[data-is=bad] .advice")?.scrollIntoView({ block: "nearest" });
    }
  };

  /** Runs the test and tells whether it passed. @param {Record<string, string>} extra @returns {Promise<boolean>} */
  const run = async (extra) => {
    running?.abort();
    const mine = running = new AbortController();
    show(form, null);
    setToken("");
    steps.replaceChildren();
    checks.replaceChildren();
    transcript.replaceChildren();
    verdict.textContent = "";
    test.setAttribute("disabled", "");
    cancel.hidden = false;
    if (matchMedia("(max-width: 1040px)").matches) part("test-title").scrollIntoView({ block: "start" });
    try {
      const response = await post(`${form.getAttribute("action")}/test`, "application/json, application/x-ndjson", extra, mine.signal);
      if (mine.signal.aborted) return false;
      if (!response?.ok || !response.body) {
        show(form, await failureOf(response));
        return false;
      }
      const end = await lines(response.body, take);
      if (end?.error) show(form, { error: end.error });
      if (!end?.passed || !end.token) {
        anyway.hidden = !end || end.passed === true;
        return false;
      }
      anyway.hidden = true;
      setToken(end.token);
      return true;
    } catch {
      if (!mine.signal.aborted) show(form, { error: "The test broke off. Test again." });
      return false;
    } finally {
      if (running === mine) {
        running = null;
        test.removeAttribute("disabled");
        cancel.hidden = true;
      }
    }
  };

  /** @param {string} act "save" or "anyway" @param {string} [to] */
  const send = async (act, to = String(form.getAttribute("action"))) => {
    show(form, null);
    form.setAttribute("data-sent", "");
    try {
      const response = await post(to, "application/json", { do: act });
      if (response?.ok) {
        /** @type {{to: string}} */
        const answer = await response.json();
        settled(form);
        location.assign(answer.to);
        return;
      }
      const failure = await failureOf(response);
      if (act === "save" && failure.fields?.some((f) => f.field === "anyway")) {
        form.removeAttribute("data-sent");
        if (await run({})) await send("save");
        return;
      }
      show(form, failure);
      if (failure.code === "sign_in_required") {
        signIn?.parentElement?.removeAttribute("data-signed-in");
        signIn?.focus();
      }
    } finally {
      form.removeAttribute("data-sent");
    }
  };

  // In the capturing phase, before the script of all forms marks it as sent.
  form.addEventListener("submit", (event) => {
    const button = event.submitter;
    if (!(button instanceof HTMLButtonElement)) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    if (button.name === "trust") {
      changed();
      void run({ trust: button.value });
    }
    else if (button === test) void run({});
    else if (button.name === "leave") {
      button.closest("li")?.remove();
      if (!form.querySelector("[name=candidate]")) part("candidates").replaceChildren();
      changed();
    } else if (button === signIn) {
      if (!form.hasAttribute("data-sent")) void send("save", `${form.getAttribute("action")}/sign-in`);
    } else if (button.value === "anyway") void send("anyway");
    else if (!form.hasAttribute("data-sent")) void send("save");
  }, true);
  cancel.addEventListener("click", () => {
    running?.abort();
    verdict.textContent = "Cancelled. Nothing was saved.";
    for (const li of [...steps.querySelectorAll("[data-is=run]"), ...checks.querySelectorAll("[data-is=run]")]) li.remove();
  });
  if (test.hasAttribute("data-now")) void run({});
}

/**
 * Reads lines of JSON as they come and returns the last.
 * @param {ReadableStream<Uint8Array>} body @param {(line: Line) => void} take
 * @returns {Promise<Line | null>}
 */
async function lines(body, take) {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let text = "";
  /** @type {Line | null} */
  let last = null;
  for (;;) {
    const { done, value } = await reader.read();
    text += decoder.decode(value, { stream: !done });
    const whole = text.split("\n");
    text = whole.pop() ?? "";
    for (const line of whole) {
      last = JSON.parse(line);
      if (last) take(last);
    }
    if (done) return last?.end ? last : null;
  }
}
