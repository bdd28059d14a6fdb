// The log of an Attempt. Lines come from the server as HTML, in chunks; only chunks near the
// visible part are in the document, so a long log costs no more than a short one.
import { announce } from "./actions.js";

const CHUNK = 500;
/** Browsers lose count beyond some 30 million pixels of height. */
const MOST = 400000;
const POLL = 1000;

export function startLog() {
  const root = document.getElementById("log");
  if (root) new Log(root).start();
}

class Log {
  constructor(root) {
    this.root = root;
    this.lines = root.querySelector(".log-lines");
    this.url = root.dataset.log;
    /** Headings by the number of their line: the last line under each, and whether it is folded. */
    this.groups = new Map();
    /** Lines that are folded away: disjoint, in order. */
    this.away = [];
    this.chunks = new Map();
    this.first = 1;
    this.total = 0;
    this.open = true;
    this.follow = false;
    this.height = 19.4;
  }

  async start() {
    this.buttons();
    this.observer = new IntersectionObserver((entries) => entries.forEach((entry) => this.seen(entry)), { root: this.lines, rootMargin: "1200px 0px" });
    // The end says how long the log is.
    const end = await this.ask(-CHUNK, CHUNK);
    if (!end) return;
    const wanted = Number(location.hash.match(/^#L(\d+)$/)?.[1]);
    this.first = Math.max(1, Math.min(this.total - MOST + 1, wanted || this.total));
    this.first -= (this.first - 1) % CHUNK;
    await this.askGroups();
    this.lines.replaceChildren();
    if (this.first > 1) this.note(`Lines 1 to ${this.first - 1} are in the download.`);
    if (this.total === 0) this.note(this.open ? "Waiting for the first line…" : "This attempt wrote nothing.");
    this.grow();
    if (this.total >= this.first + 4 * MOST) this.note(`Lines from ${this.first + 4 * MOST} on are in the download.`);
    if (wanted) await this.show(wanted);
    else if (this.open) this.setFollow(true);
    else if (this.failing()) await this.show(this.failing());
    if (this.open) this.poll();
    addEventListener("hashchange", () => { const line = location.hash.match(/^#L(\d+)$/); if (line) this.show(Number(line[1])); });
  }

  /** The line to jump to, once it is known. */
  failing() {
    return Number(this.root.querySelector("[data-log-do=failing]")?.dataset.line) || 0;
  }

  /** Fetches lines; keeps account of what the headers say. */
  async ask(from, limit) {
    try {
      const url = new URL(this.url, location.href);
      url.searchParams.set("from", from);
      url.searchParams.set("limit", limit);
      const answer = await fetch(url, { cache: "no-store" });
      if (!answer.ok) throw new Error(`the server answered ${answer.status}`);
      const html = await answer.text();
      this.total = Math.max(this.total, Number(answer.headers.get("X-Log-Total")) || 0);
      this.open = answer.headers.get("X-Log-Open") === "true";
      return { html };
    } catch (error) {
      if (this.chunks.size === 0) { this.lines.replaceChildren(); this.note(`The log could not be read: ${error.message}. Reload the page to try again.`); }
      return null;
    }
  }

  /** Asks where headings are; what a person folded or unfolded stays so. */
  async askGroups() {
    try {
      const answer = await fetch(this.root.dataset.groups, { cache: "no-store" });
      if (!answer.ok) return;
      for (const { first, last, folded } of await answer.json()) {
        const known = this.groups.get(first);
        this.groups.set(first, { last: last ?? Infinity, folded: known ? known.folded : folded && !this.open });
      }
    } catch {
      // Without them every line is shown.
    }
    this.root.toggleAttribute("data-grouped", this.groups.size > 0);
    this.refold();
  }

  /** Works out which lines are away, and brings what is in the document into line with it. */
  refold() {
    this.away = [];
    // Headings come in order, so that what begins within the one before is part of it.
    for (const [first, { last, folded }] of [...this.groups].sort((one, other) => one[0] - other[0])) {
      if (!folded || last <= first) continue;
      const before = this.away.at(-1);
      if (before && first + 1 <= before[1] + 1) before[1] = Math.max(before[1], last);
      else this.away.push([first + 1, last]);
    }
    for (const chunk of this.chunks.values()) this.fit(chunk);
  }

  isAway(number) {
    return this.away.some(([from, to]) => from <= number && number <= to);
  }

  /** How many of so many lines are shown. */
  shown(start, lines) {
    const end = start + lines - 1;
    return this.away.reduce((left, [from, to]) => left - Math.max(0, Math.min(to, end) - Math.max(from, start) + 1), lines);
  }

  /** Shows of a chunk what is not folded away. */
  fit(chunk) {
    const shown = this.shown(chunk.start, chunk.lines);
    chunk.element.hidden = shown === 0;
    if (!chunk.loaded) {
      chunk.element.style.height = `${shown * this.height}px`;
      if (chunk.near && shown > 0) this.load(chunk);
      return;
    }
    for (const line of chunk.element.children) {
      const number = Number(line.id.slice(1));
      line.hidden = this.isAway(number);
      const button = line.querySelector("[data-group]");
      if (button) button.setAttribute("aria-expanded", String(!this.groups.get(number)?.folded));
    }
  }

  /** Unfolds every group that a line is under. */
  reveal(number) {
    let changed = false;
    for (const [first, group] of this.groups) {
      if (group.folded && first < number && number <= group.last) {
        group.folded = false;
        changed = true;
      }
    }
    if (changed) this.refold();
  }

  toggleGroup(number) {
    const group = this.groups.get(number);
    if (!group) return;
    group.folded = !group.folded;
    this.setFollow(false);
    this.refold();
  }

  foldAll(folded) {
    for (const group of this.groups.values()) group.folded = folded;
    this.setFollow(false);
    this.refold();
  }

  note(text) {
    const line = document.createElement("p");
    line.textContent = text;
    this.lines.append(line);
  }

  /** Adds a place for every chunk that exists by now. */
  grow() {
    if (this.total > 0) this.lines.querySelectorAll("p").forEach((note) => { if (this.first === 1) note.remove(); });
    const end = Math.min(this.total, this.first + 4 * MOST - 1);
    for (let start = this.first; start <= end; start += CHUNK) {
      const lines = Math.min(CHUNK, end - start + 1);
      let chunk = this.chunks.get(start);
      if (!chunk) {
        const element = document.createElement("div");
        element.className = "chunk";
        chunk = { start, element, lines: 0, loaded: 0, near: false, loading: false };
        element.chunk = chunk;
        this.chunks.set(start, chunk);
        this.lines.append(element);
        this.observer.observe(element);
      }
      if (chunk.lines !== lines) {
        chunk.lines = lines;
        if (!chunk.loaded) this.fit(chunk);
        if (chunk.near) this.load(chunk);
      }
    }
  }

  seen(entry) {
    const chunk = entry.target.chunk;
    chunk.near = entry.isIntersecting;
    if (chunk.near) this.load(chunk);
    else if (chunk.loaded) {
      chunk.element.style.height = `${entry.boundingClientRect.height}px`;
      chunk.element.replaceChildren();
      chunk.loaded = 0;
    }
  }

  async load(chunk) {
    if (chunk.loading || chunk.loaded === chunk.lines || this.shown(chunk.start, chunk.lines) === 0) return;
    chunk.loading = true;
    const had = chunk.loaded;
    const answer = await this.ask(chunk.start + had, CHUNK - had);
    chunk.loading = false;
    if (!answer) return;
    const part = document.createElement("template");
    part.innerHTML = answer.html;
    const count = part.content.childElementCount;
    if (chunk.loaded !== had) return;
    if (had === 0) chunk.element.replaceChildren();
    chunk.element.append(part.content);
    chunk.element.style.height = "";
    chunk.loaded = had + count;
    chunk.lines = Math.max(chunk.lines, chunk.loaded);
    this.fit(chunk);
    this.mark();
    if (this.follow) this.bottom();
  }

  poll() {
    setTimeout(async () => {
      if (!document.hidden) {
        const before = this.total;
        await this.ask(this.total + 1, 1);
        if (this.total !== before) {
          await this.askGroups();
          this.grow();
          if (this.follow) this.bottom();
        }
      }
      if (this.open) this.poll();
      else this.setFollow(false);
    }, POLL);
  }

  bottom() {
    this.ours = true;
    this.lines.scrollTop = this.lines.scrollHeight;
  }

  setFollow(follow) {
    this.follow = follow;
    this.root.querySelector("[data-log-do=follow]")?.setAttribute("aria-pressed", String(follow));
    if (follow) this.bottom();
  }

  /** Brings a line into view and marks it. */
  async show(number) {
    this.setFollow(false);
    this.reveal(number);
    const start = number - ((number - 1) % CHUNK);
    const chunk = this.chunks.get(start);
    if (!chunk) return;
    this.ours = true;
    this.lines.scrollTop += chunk.element.getBoundingClientRect().top - this.lines.getBoundingClientRect().top;
    chunk.near = true;
    await this.load(chunk);
    this.marked = number;
    this.mark();
    const line = document.getElementById(`L${number}`);
    if (line) this.lines.scrollTop += line.getBoundingClientRect().top - this.lines.getBoundingClientRect().top - this.lines.clientHeight / 3;
    announce(`Line ${number}`);
  }

  mark() {
    this.lines.querySelector(".marked")?.classList.remove("marked");
    if (this.marked) document.getElementById(`L${this.marked}`)?.classList.add("marked");
  }

  /** Finds the first line of a step by halving the log, as lines of steps come in order. */
  async showStep(step) {
    let low = this.first;
    let high = this.total;
    while (low < high) {
      const middle = Math.floor((low + high) / 2);
      const answer = await this.ask(middle, 1);
      const found = answer?.html.match(/data-step="(\d\d)"/)?.[1];
      if (found !== undefined && found < step) low = middle + 1;
      else high = middle;
    }
    if (low <= this.total) this.show(low);
  }

  buttons() {
    const toggle = (button, name, inverse) => {
      const on = button.getAttribute("aria-pressed") !== "true";
      button.setAttribute("aria-pressed", String(on));
      this.root.toggleAttribute(name, inverse ? !on : on);
    };
    const does = {
      follow: () => this.setFollow(!this.follow),
      times: (button) => toggle(button, "data-times", false),
      wrap: (button) => toggle(button, "data-nowrap", true),
      failing: () => this.show(this.failing()),
      fold: (button) => {
        const fold = button.getAttribute("aria-pressed") !== "true";
        button.setAttribute("aria-pressed", String(fold));
        this.foldAll(fold);
      },
    };
    this.root.addEventListener("click", (event) => {
      const button = event.target.closest("[data-log-do]");
      if (button) does[button.dataset.logDo](button);
    });
    this.lines.addEventListener("click", (event) => {
      const heading = event.target.closest("[data-group]");
      if (heading) this.toggleGroup(Number(heading.dataset.group));
    });
    document.addEventListener("click", (event) => {
      const step = event.target.closest?.("#steps [data-step]");
      if (step) this.showStep(step.dataset.step);
    });
    this.lines.addEventListener("scroll", () => {
      if (this.ours) { this.ours = false; return; }
      const away = this.lines.scrollHeight - this.lines.scrollTop - this.lines.clientHeight;
      if (this.follow && away > 60) this.setFollow(false);
    });
  }
}
