// Draws the measurements of stable and candidate, and asks for new ones each second.
import { now } from "./time.js";

const WINDOW = 180000;
const WIDTH = 400;
const HEIGHT = 120;

const FORMAT = {
  rate: (value) => `${value < 10 ? value.toFixed(1) : Math.round(value)}/s`,
  errors: (value) => `${(value * 100).toFixed(value < 0.1 ? 2 : 1)} %`,
  p50: (value) => `${value < 10 ? value.toFixed(1) : Math.round(value)} ms`,
  p99: (value) => `${value < 10 ? value.toFixed(1) : Math.round(value)} ms`,
};
/** The least height of a scale, so that noise does not look like a mountain. */
const LEAST = { rate: 1, errors: 0.01, p50: 1, p99: 1 };

let series = { now: 0, live: false, stable: [], candidate: [] };

export function startRollout() {
  const place = document.getElementById("charts");
  if (!place) return;
  series = JSON.parse(place.querySelector("script").textContent || "{}");
  const charts = [...place.querySelectorAll(".chart")];
  charts.forEach(prepare);
  const draw = () => charts.forEach(paint);
  draw();
  if (!place.dataset.series || !series.live) return;
  const ask = setInterval(async () => {
    if (document.hidden) return;
    try {
      const answer = await fetch(place.dataset.series, { cache: "no-store" });
      if (answer.ok) series = await answer.json();
    } catch {
      // The page says that it reconnects; the charts stay where they are.
    }
    draw();
    if (!series.live) clearInterval(ask);
  }, 1000);
  if (!matchMedia("(prefers-reduced-motion: reduce)").matches) {
    const glide = () => {
      if (!document.hidden) draw();
      if (series.live) requestAnimationFrame(() => setTimeout(glide, 60));
    };
    glide();
  }
}

function prepare(chart) {
  const scale = document.createElement("div");
  scale.className = "scale";
  scale.append(document.createElement("span"), document.createElement("span"));
  chart.append(scale);
}

function paint(chart) {
  const field = chart.dataset.field;
  const all = [...series.stable, ...series.candidate];
  const last = all.reduce((most, point) => Math.max(most, point.t), 0);
  const end = series.live ? Math.max(now() - 1000, last - 1500) : last;
  const first = all.reduce((least, point) => Math.min(least, point.t), end);
  const start = series.live ? Math.max(end - WINDOW, Math.min(first, end - 20000)) : first;
  const visible = (points) => points.filter((point) => point.t >= start - 5000);
  const values = [...visible(series.stable), ...visible(series.candidate)].map((point) => point[field] ?? 0);
  const top = nice(Math.max(LEAST[field], ...values) * 1.08);
  const x = (t) => ((t - start) / Math.max(1, end - start)) * WIDTH;
  const y = (value) => HEIGHT - 4 - (value / top) * (HEIGHT - 10);
  const candidate = path(visible(series.candidate), field, x, y);
  chart.querySelector("svg").innerHTML = [0, 0.5, 1].map((part) => `<path class="grid" d="M0 ${y(top * part)}H${WIDTH}"/>`).join("")
    + `<svg x="0" y="0" width="${WIDTH}" height="${HEIGHT}" viewBox="0 0 ${WIDTH} ${HEIGHT}">`
    + candidate.areas.map((area) => `<path class="area" d="${area}"/>`).join("")
    + `<path class="s" d="${path(visible(series.stable), field, x, y).line}"/><path class="c" d="${candidate.line}"/></svg>`;
  const latest = (points) => { const point = points.at(-1); return point?.[field] == null ? "–" : FORMAT[field](point[field]); };
  const value = chart.querySelector(".values");
  value.replaceChildren(text("s", series.stable.length ? latest(series.stable) : ""), text("c", latest(series.candidate)));
  const [left, right] = chart.querySelectorAll(".scale span");
  left.textContent = `${Math.max(1, Math.round((end - start) / 1000))} s`;
  right.textContent = values.length ? `top ${FORMAT[field](top)}` : "";
}

function text(name, content) {
  const span = document.createElement("span");
  span.className = name;
  span.textContent = content;
  return span;
}

/** A line that breaks where there is no measurement: a gap must not look like a value. */
function path(points, field, x, y) {
  let line = "";
  const areas = [];
  let run = [];
  const close = () => {
    if (run.length > 1) areas.push(`M${run[0][0]} ${HEIGHT - 4}L${run.map((point) => point.join(" ")).join("L")}L${run.at(-1)[0]} ${HEIGHT - 4}Z`);
    run = [];
  };
  for (const point of points) {
    const value = point[field];
    if (value == null) { close(); continue; }
    const place = [x(point.t).toFixed(1), y(value).toFixed(1)];
    line += `${run.length ? "L" : "M"}${place.join(" ")}`;
    run.push(place);
  }
  close();
  return { line, areas };
}

/** The next round number. */
function nice(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 1.5, 2, 3, 4, 5, 6, 8, 10].map((step) => step * power).find((step) => step >= value) ?? 10 * power;
}
