// Instants in words relative to now, exact in the viewer's zone on hover; durations that tick.
const SKEW_KEY = "celeriac-skew-ms";
const skewMs = skew();
const exact = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "long", hourCycle: "h23" });
const relative = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
const clock = new Intl.DateTimeFormat(undefined, { timeStyle: "medium", hourCycle: "h23" });
const moment = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short", hourCycle: "h23" });
const units = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];

// How far the server's clock is ahead. A page that the browser kept for its Back button holds the
// time at which it was served first, which tells nothing; the last fresh page has told it.
function skew() {
  const [visit] = performance.getEntriesByType("navigation");
  const measured = Date.parse(document.body.dataset.serverTime) - Date.now();
  try {
    if (visit?.type === "back_forward") return Number(sessionStorage.getItem(SKEW_KEY) ?? 0);
    sessionStorage.setItem(SKEW_KEY, String(measured));
  } catch {
    if (visit?.type === "back_forward") return 0;
  }
  return measured;
}

const nowMs = () => Date.now() + skewMs;

function relativeWords(seconds) {
  if (Math.abs(seconds) < 1) return "just now";
  const [unit, size] = units.find(([, size]) => Math.abs(seconds) >= size);
  return relative.format(Math.trunc(seconds / size), unit);
}

// Writes what `duration_words` in look.py writes.
function durationWords(seconds) {
  if (seconds < 1) return `${Math.max(0, seconds * 1000).toFixed(0)} ms`;
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  const minutes = Math.floor(seconds / 60);
  const two = (number) => String(number).padStart(2, "0");
  if (minutes < 60) return `${minutes} min ${two(Math.floor(seconds % 60))} s`;
  return `${Math.floor(minutes / 60)} h ${two(minutes % 60)} min`;
}

function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function refresh() {
  for (const element of document.querySelectorAll("time[data-relative]")) {
    const at = Date.parse(element.dateTime);
    const words = relativeWords((at - nowMs()) / 1000);
    setText(element, "clock" in element.dataset ? `${words} · ${clock.format(at)}` : words);
    element.title = exact.format(at);
  }
  for (const element of document.querySelectorAll("time[data-exact]")) {
    setText(element, moment.format(Date.parse(element.dateTime)));
  }
  for (const element of document.querySelectorAll("[data-elapsed-since]")) {
    setText(element, durationWords(Math.max(0, nowMs() - Date.parse(element.dataset.elapsedSince)) / 1000));
  }
}

function tick() {
  if (!document.hidden) refresh();
  const busy = document.querySelector("[data-elapsed-since]");
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  setTimeout(tick, busy && !calm ? 100 : 1000);
}

tick();
document.addEventListener("htmx:after:swap", refresh);
document.addEventListener("visibilitychange", refresh);
