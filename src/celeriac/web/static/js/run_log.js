// A run's log: lines are added as they come, at the end, which the view follows unless somebody has
// scrolled up; filters hide lines and remove none.
const live = document.getElementById("live");
const list = document.getElementById("log-lines");
const count = document.getElementById("log-count");
const follow = document.getElementById("log-follow");
const level = document.getElementById("log-level");
const filter = document.getElementById("log-filter");
const copy = document.getElementById("log-copy");
const none = document.getElementById("log-none");
const noMatch = document.getElementById("log-no-match");
const RANKS = { DEBUG: 10, INFO: 20, WARNING: 30, ERROR: 40, CRITICAL: 50 };
const MOST_SHOWN = 5000;
const NEAR_END_PX = 24;

const rows = () => list.querySelectorAll(".log-line");
let last = list?.querySelector(".log-line:last-child")?.dataset.id;
let lastAttempt = 1;
let shown = list ? rows().length : 0;

// --- Lines ---------------------------------------------------------------------------------------

const two = (number, digits = 2) => String(number).padStart(digits, "0");

// The viewer's own time, as everywhere on the page.
function clock(instant) {
  const at = new Date(instant);
  return `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}.${two(at.getMilliseconds(), 3)}`;
}

function element(tag, text, attributes = {}) {
  const made = document.createElement(tag);
  made.textContent = text;
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

function row(line) {
  const made = element("p", "", { class: "log-line", "data-level": line.level, "data-id": line.id });
  made.append(
    element("time", clock(line.at), { datetime: line.at, title: new Date(line.at).toString() }), " ",
    element("b", line.level), " ",
    element("span", line.text, { title: line.logger ?? "" }),
  );
  made.hidden = !matches(made);
  return made;
}

function isAfter(id, other) {
  const [ms, number] = id.split("-").map(Number);
  const [otherMs, otherNumber] = (other ?? "0-0").split("-").map(Number);
  return ms > otherMs || (ms === otherMs && number > otherNumber);
}

function add(lines) {
  const fresh = lines.filter((line) => isAfter(line.id, last));
  if (!fresh.length) return;
  const wasAtEnd = isAtEnd() || list.hidden;
  const parts = document.createDocumentFragment();
  for (const line of fresh) {
    if (line.attempt > lastAttempt) parts.append(element("p", `Attempt ${line.attempt}`, { class: "log-attempt" }));
    lastAttempt = Math.max(lastAttempt, line.attempt ?? 1);
    parts.append(row(line));
  }
  last = fresh.at(-1).id;
  shown += fresh.length;
  list.append(parts);
  trim();
  list.hidden = false;
  none.hidden = true;
  tell();
  if (wasAtEnd) toEnd();
  else follow.hidden = false;
}

// What is too much goes at the top, with the heads of attempts that have no line left.
function trim() {
  for (; shown > MOST_SHOWN; shown -= 1) list.querySelector(".log-line").remove();
  const isHead = (row) => row?.matches(".log-attempt");
  while (isHead(list.firstElementChild) && isHead(list.children[1])) list.firstElementChild.remove();
}

// --- Following -----------------------------------------------------------------------------------

const isAtEnd = () => list.scrollTop + list.clientHeight >= list.scrollHeight - NEAR_END_PX;

function toEnd() {
  list.scrollTop = list.scrollHeight;
  follow.hidden = true;
}

// --- Filters -------------------------------------------------------------------------------------

function matches(line) {
  if ((RANKS[line.dataset.level] ?? 20) < Number(level.value)) return false;
  const wanted = filter.value.trim().toLowerCase();
  return !wanted || line.textContent.toLowerCase().includes(wanted);
}

const isFiltered = () => filter.value.trim() !== "" || level.value !== "0";

function tell() {
  const visible = list.querySelectorAll(".log-line:not([hidden])").length;
  count.textContent = isFiltered() ? `${visible.toLocaleString("en")} of ${shown.toLocaleString("en")}` : shown.toLocaleString("en");
  noMatch.hidden = visible > 0 || shown === 0;
}

function refilter() {
  for (const line of rows()) line.hidden = !matches(line);
  tell();
  toEnd();
}

// --- Wiring --------------------------------------------------------------------------------------

if (list) {
  for (const time of list.querySelectorAll("time")) {
    time.textContent = clock(time.dateTime);
    time.title = new Date(time.dateTime).toString();
  }
  const attempts = list.querySelectorAll(".log-attempt");
  if (attempts.length) lastAttempt = Number(attempts[attempts.length - 1].textContent.replace(/\D/g, ""));
  level.addEventListener("change", refilter);
  filter.addEventListener("input", refilter);
  filter.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    filter.value = "";
    refilter();
  });
  follow.addEventListener("click", toEnd);
  list.addEventListener("scroll", () => { if (isAtEnd()) follow.hidden = true; });
  // Runs before the document's own listener copies.
  copy.addEventListener("click", () => {
    copy.dataset.copy = [...list.querySelectorAll(".log-line:not([hidden])")].map((line) => line.textContent).join("\n");
  });
  live.addEventListener("log", ({ detail }) => add(JSON.parse(detail.data)));
  live.addEventListener("finished", () => {
    none.textContent = "It has logged nothing.";
    if (isAtEnd()) follow.hidden = true;
  });
  if (live.hasAttribute("hx-sse:connect")) toEnd();
}
