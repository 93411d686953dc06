// Times in the viewer's zone: the exact one on hover, relative ones kept
// current while the page is open.

const exact = new Intl.DateTimeFormat(undefined, { dateStyle: "long", timeStyle: "long" });
const short = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });

/** @type {[number, string][]} */
const units = [[86400, "day"], [3600, "hour"], [60, "minute"], [1, "second"]];

/**
 * The same words that the server writes.
 * @param {Date} at
 * @param {number} now
 * @returns {string}
 */
function relative(at, now) {
  const seconds = (now - at.getTime()) / 1000;
  const distance = Math.abs(seconds);
  if (distance > 31 * 86400) return new Intl.DateTimeFormat(undefined, { dateStyle: "medium" }).format(at);
  if (distance < 10) return "just now";
  const [size, unit] = units.find(([size]) => distance >= size) ?? [1, "second"];
  const n = seconds >= 0 ? Math.floor(distance / size) : Math.round(distance / size);
  const words = `${n} ${unit}${n === 1 ? "" : "s"}`;
  return seconds >= 0 ? `${words} ago` : `in ${words}`;
}

/** @param {ParentNode} root */
export function times(root) {
  for (const element of root.querySelectorAll("time[datetime]")) {
    const at = new Date(element.getAttribute("datetime") ?? "");
    if (Number.isNaN(at.getTime())) continue;
    element.setAttribute("title", exact.format(at));
    if (!element.hasAttribute("data-relative")) element.textContent = short.format(at);
  }
}

setInterval(() => {
  const now = Date.now();
  for (const element of document.querySelectorAll("time[data-relative]")) {
    element.textContent = relative(new Date(element.getAttribute("datetime") ?? ""), now);
  }
}, 60_000);
