// Keyboard shortcuts, and the filter behind `/`.

const GO = { p: "/", a: "/approvals", t: "/timeline", d: "/doctor" };
let pending = 0;

export function startKeys() {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || typing(event.target) || document.querySelector("dialog[open]")) return;
    const after = performance.now() - pending < 1200;
    pending = 0;
    if (after && GO[event.key]) location.assign(GO[event.key]);
    else if (event.key === "g") pending = performance.now();
    else if (event.key === "?") document.getElementById("help")?.showModal();
    else if (event.key === "/") { event.preventDefault(); filter(); }
    else if (event.key === "j" || event.key === "k") move(event.key === "j" ? 1 : -1);
    else if (event.key === "e") document.querySelector("[data-log-do=failing]")?.click();
    else if (event.key === "f") document.querySelector("[data-log-do=follow]")?.click();
  });
}

const typing = (element) => element.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(element.tagName);

function move(step) {
  const links = [...document.querySelectorAll("main td a, main h2 a, main h3 a, main .wait-line, main .rollout-line, main .node")].filter((link) => link.getClientRects().length);
  const index = links.indexOf(document.activeElement);
  links[(index < 0 && step < 0 ? links.length : index) + step]?.focus();
}

function filter() {
  let input = document.getElementById("filter");
  if (!input) {
    input = document.createElement("input");
    input.id = "filter";
    input.type = "search";
    input.placeholder = "Filter this page";
    input.setAttribute("aria-label", "Filter this page");
    document.getElementById("main").prepend(input);
    input.addEventListener("input", apply);
    input.addEventListener("keydown", (event) => { if (event.key === "Escape") { input.value = ""; apply(); input.remove(); } });
    document.addEventListener("towpath:refreshed", apply);
  }
  input.focus();
}

function apply() {
  const words = (document.getElementById("filter")?.value ?? "").toLowerCase().split(/\s+/).filter(Boolean);
  for (const element of document.querySelectorAll("main tbody tr, main [data-filter]")) {
    const text = (element.dataset.filter ?? "" + element.textContent).toLowerCase() + " " + element.textContent.toLowerCase();
    element.classList.toggle("hidden-by-filter", !words.every((word) => text.includes(word)));
  }
}
