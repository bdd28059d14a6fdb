// Keeps relative times true, by the server's clock. The words are those of `format.rs`.

const skew = Number(document.body.dataset.now || Date.now()) - Date.now();

/** The server's clock, in milliseconds since 1970. */
export const now = () => Date.now() + skew;

export function startTimes() {
  tick();
  setInterval(tick, 1000);
}

function tick() {
  if (document.hidden) return;
  for (const time of document.querySelectorAll("time[data-relative]")) set(time, words(time));
  for (const time of document.querySelectorAll("time[data-since]")) set(time, duration(now() - Date.parse(time.dateTime)));
}

function set(time, text) {
  if (time.textContent !== text) time.textContent = text;
}

function words(time) {
  const passed = now() - Date.parse(time.dateTime);
  return time.dataset.then && passed >= 0 ? time.dataset.then : relative(passed);
}

function relative(milliseconds) {
  const seconds = Math.floor(Math.abs(milliseconds) / 1000);
  if (seconds < 10 && milliseconds >= 0) return "just now";
  const amount = seconds < 60 ? `${seconds} s` : seconds < 3600 ? `${Math.floor(seconds / 60)} min`
    : seconds < 172800 ? `${Math.floor(seconds / 3600)} h` : `${Math.floor(seconds / 86400)} days`;
  return milliseconds < 0 ? `in ${amount}` : `${amount} ago`;
}

function duration(milliseconds) {
  const s = Math.max(0, Math.floor(milliseconds / 1000));
  const two = (number) => String(number).padStart(2, "0");
  if (s < 60) return `${s}s`;
  if (s < 3600) return `${Math.floor(s / 60)}m ${two(s % 60)}s`;
  if (s < 86400) return `${Math.floor(s / 3600)}h ${two(Math.floor((s % 3600) / 60))}m`;
  return `${Math.floor(s / 86400)}d ${Math.floor((s % 86400) / 3600)}h`;
}
