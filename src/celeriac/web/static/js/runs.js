// The list of runs: filters apply as they are chosen, rows answer to clicks and arrows, and the
// first page asks for its rows again every few seconds while somebody can see it.
const form = document.querySelector("[data-runs-filter]");
const list = document.getElementById("runs");
const toggle = document.querySelector("[data-live-toggle]");
const EVERY_MS = 3000;

// --- Filters -----------------------------------------------------------------------------------

const FOCUS_KEY = "celeriac-runs-focus";

function keepFocus(id) {
  try {
    sessionStorage.setItem(FOCUS_KEY, id);
  } catch {
    // Without storage the next page begins at its top, as any page does.
  }
}

function takeFocus() {
  try {
    const id = sessionStorage.getItem(FOCUS_KEY);
    sessionStorage.removeItem(FOCUS_KEY);
    if (id) document.getElementById(id)?.focus({ preventScroll: true });
  } catch {
    // See above.
  }
}

form.addEventListener("change", ({ target }) => {
  if (target.tagName !== "SELECT") return;
  keepFocus(target.id);
  form.requestSubmit();
});
form.addEventListener("click", ({ target }) => {
  const chip = target.closest(".state-chip");
  if (chip) keepFocus(chip.id);
});
// What is not filled in does not belong in the address.
form.addEventListener("formdata", ({ formData }) => {
  for (const [name, value] of [...formData]) if (!value.trim()) formData.delete(name);
});

// --- Rows --------------------------------------------------------------------------------------

const isSelecting = () => !getSelection().isCollapsed && list.contains(getSelection().anchorNode);

function openRow(event) {
  const link = event.target.closest(".run-row")?.querySelector(".run-link");
  if (!link || event.target.closest("a, button") || isSelecting()) return;
  if (event.ctrlKey || event.metaKey) window.open(link.href, "_blank", "noopener");
  else link.click();
}

function moveFocus(event) {
  if (event.key !== "ArrowDown" && event.key !== "ArrowUp") return;
  const links = [...list.querySelectorAll(".run-link")];
  const here = links.indexOf(document.activeElement);
  if (here < 0) return;
  event.preventDefault();
  links[here + (event.key === "ArrowDown" ? 1 : -1)]?.focus();
}

list?.addEventListener("click", openRow);
list?.addEventListener("keydown", moveFocus);

// --- Live --------------------------------------------------------------------------------------

const LIVE_KEY = "celeriac-runs-live";
let isLive = true;
let isAsking = false;

function wasLive() {
  try {
    return localStorage.getItem(LIVE_KEY) !== "off";
  } catch {
    return true;
  }
}

function setLive(on) {
  isLive = on;
  toggle.setAttribute("aria-pressed", String(on));
  toggle.dataset.mark = on ? "on" : "";
  try {
    localStorage.setItem(LIVE_KEY, on ? "on" : "off");
  } catch {
    // It holds for this page then.
  }
}

function ask() {
  if (!isLive || isAsking || document.hidden || isSelecting()) return;
  list.dispatchEvent(new CustomEvent("celeriac:refresh"));
}

function asked(mark) {
  isAsking = false;
  if (isLive) toggle.dataset.mark = mark;
  toggle.title = mark === "on" ? "Refresh the list every 3 seconds" : "The server does not answer; still trying";
}

function follow() {
  setLive(wasLive());
  toggle.addEventListener("click", () => {
    setLive(!isLive);
    ask();
  });
  list.addEventListener("htmx:before:request", () => { isAsking = true; });
  list.addEventListener("htmx:after:request", ({ detail }) => asked(detail.ctx.response.status < 400 ? "on" : "off"));
  list.addEventListener("htmx:error", () => asked("off"));
  // Rows that come from now on are new, and show it for a moment.
  list.addEventListener("htmx:before:swap", () => list.classList.add("runs-following"));
  document.addEventListener("visibilitychange", ask);
  setInterval(ask, EVERY_MS);
}

takeFocus();
if (toggle && list) follow();
