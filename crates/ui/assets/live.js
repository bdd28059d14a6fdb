// Keeps the page true: after any event it fetches itself again and replaces what changed.
import { announce } from "./actions.js";

const SETTLE = 400;
const PATIENCE = [1000, 2000, 4000, 8000, 15000];

let source = null;
let tries = 0;
let timer = null;
let fetching = false;
let again = false;

export function startLive() {
  if (!document.body.dataset.live) return;
  connect();
  document.addEventListener("visibilitychange", () => { if (!document.hidden && again) refresh(); });
  addEventListener("pagehide", () => source?.close());
  addEventListener("pageshow", (event) => { if (event.persisted) { connect(); refresh(); } });
}

function connect() {
  source?.close();
  source = new EventSource(document.body.dataset.live);
  source.onopen = () => {
    tries = 0;
    say("");
    // What happened since the page was made, or since the stream was lost, was not heard: look again.
    refresh();
  };
  source.onmessage = refresh;
  for (const name of ["change", "run", "promotion", "environment", "timeline", "log"]) source.addEventListener(name, refresh);
  source.onerror = () => {
    say("Reconnecting…");
    source.close();
    setTimeout(connect, PATIENCE[Math.min(tries++, PATIENCE.length - 1)]);
  };
}

function say(text) {
  const place = document.getElementById("connection");
  if (place && place.textContent !== text) place.textContent = text;
}

/** Asks for a look at the server's present answer; many in a row become one. */
export function refresh() {
  if (timer || document.hidden || fetching) { again = true; return; }
  timer = setTimeout(load, SETTLE);
}

async function load() {
  timer = null;
  again = false;
  fetching = true;
  try {
    const answer = await fetch(location.href, { headers: { "X-Towpath-Live": "1" }, cache: "no-store" });
    if (answer.redirected && new URL(answer.url).pathname === "/login") { location.reload(); return; }
    if (answer.ok) replace(new DOMParser().parseFromString(await answer.text(), "text/html"));
  } catch {
    again = true;
  } finally {
    fetching = false;
    if (again && !document.hidden) setTimeout(refresh, SETTLE);
  }
}

function replace(next) {
  if (shape(document) !== shape(next)) {
    // A part came or went, as a rollout does when it starts. Nobody is interrupted for it.
    if (document.querySelector("dialog[open]")) again = true;
    else location.reload();
    return;
  }
  document.title = next.title;
  const icon = next.querySelector("link[rel=icon]");
  const old = document.querySelector("link[rel=icon]");
  if (icon && old && icon.href !== old.href) old.href = icon.href;
  for (const region of document.querySelectorAll("[data-region]")) {
    const successor = next.getElementById(region.id);
    if (successor) morph(region, document.importNode(successor, true));
  }
  document.dispatchEvent(new CustomEvent("towpath:refreshed"));
}

/** Which parts a page has, and whose log it shows. */
function shape(page) {
  return [...page.querySelectorAll("[data-region], [data-log]")].map((part) => `${part.id} ${part.dataset.log ?? ""}`).join();
}

/** Makes `old` look like `fresh` with as few changes as can be: what did not change keeps focus, scroll and input. */
function morph(old, fresh) {
  if (old.isEqualNode(fresh)) return;
  if (old.nodeName !== fresh.nodeName || (old.id || "") !== (fresh.id || "")) { old.replaceWith(fresh); return; }
  if (old.nodeType !== Node.ELEMENT_NODE) { old.nodeValue = fresh.nodeValue; return; }
  // A person is deciding here: neither the question nor the half-written answer may change under their hands.
  if (old.nodeName === "DIALOG" && old.open) return;
  if (old.getAttribute("aria-live") === "polite" && old.textContent !== fresh.textContent) announce(fresh.textContent);
  attributes(old, fresh);
  const news = [...fresh.childNodes];
  const olds = [...old.childNodes];
  news.forEach((child, index) => {
    if (index < olds.length) morph(olds[index], child);
    else old.append(child);
  });
  olds.slice(news.length).forEach((child) => child.remove());
}

/** State that the person made and the server does not know. */
const OWN = new Set(["open", "data-done", "data-sent", "aria-pressed"]);

function attributes(old, fresh) {
  for (const { name } of [...old.attributes]) if (!fresh.hasAttribute(name) && !OWN.has(name) && !(name === "aria-current" && old.closest("#nav"))) old.removeAttribute(name);
  for (const { name, value } of fresh.attributes) if (old.getAttribute(name) !== value && !OWN.has(name)) old.setAttribute(name, value);
}
