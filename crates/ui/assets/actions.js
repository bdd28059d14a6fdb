// Dialogs, copy buttons, and one submit per form.

export function startActions() {
  document.addEventListener("click", (event) => {
    const target = event.target.closest?.("[data-dialog], [data-close], [data-copy]");
    if (target?.dataset.dialog) document.getElementById(target.dataset.dialog)?.showModal();
    else if (target && "close" in target.dataset) target.closest("dialog")?.close();
    else if (target) copy(target);
    else if (event.target.tagName === "DIALOG" && outside(event)) event.target.close();
  });
  // A second click must not ask twice; coming back to the page must be able to.
  document.addEventListener("submit", (event) => {
    if (event.target.method !== "post") return;
    if (event.target.dataset.sent) event.preventDefault();
    event.target.dataset.sent = "yes";
  });
  addEventListener("pageshow", () => document.querySelectorAll("form[data-sent]").forEach((form) => delete form.dataset.sent));
}

function outside(event) {
  const box = event.target.getBoundingClientRect();
  return event.clientX < box.left || event.clientX > box.right || event.clientY < box.top || event.clientY > box.bottom;
}

async function copy(button) {
  try {
    await navigator.clipboard.writeText(button.dataset.copy);
  } catch {
    // Browsers offer the clipboard on secure addresses only; the old way works on all.
    const area = document.createElement("textarea");
    area.value = button.dataset.copy;
    (button.closest("dialog") ?? document.body).append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
    button.focus();
  }
  button.dataset.done = "yes";
  announce("Copied");
  setTimeout(() => delete button.dataset.done, 1500);
}

/** Says something to those who listen instead of look. */
export function announce(text) {
  const place = document.getElementById("announce");
  if (place) place.textContent = text;
}
