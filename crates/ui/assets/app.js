// Starts what a page needs. Each module does one thing and does nothing where its elements are missing.
import { startActions } from "./actions.js";
import { startKeys } from "./keys.js";
import { startLive } from "./live.js";
import { startLog } from "./log.js";
import { startRollout } from "./rollout.js";
import { startTimes } from "./time.js";

startTimes();
startActions();
startKeys();
startLog();
startRollout();
startLive();

const here = location.pathname;
for (const link of document.querySelectorAll("#nav a")) {
  const path = link.getAttribute("href");
  if (path === here || (path === "/" && (here.startsWith("/p/") || here.startsWith("/promotions/")))) link.setAttribute("aria-current", "page");
}
