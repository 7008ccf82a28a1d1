// The first page of runs keeps itself up to date. The server says a word, no more often than every
// second or so, when something that the list may show has changed; then the rows are asked for again.
const list = document.getElementById("runs");
const toggle = document.querySelector("[data-live-toggle]");
const LIVE_KEY = "celeriac-runs-live";
const AGAIN_MS = 1000;
const RETRY_MS = 5000;
const ANYWAY_MS = 30_000; // An instant may pass that no event tells of, such as an ETA.
const SILENT_MS = 12_000; // The server says a word every five seconds at least.
const TITLES = {
  on: "New runs and changes appear by themselves",
  off: "The connection is lost; trying again",
  "": "Nothing changes here until you go on",
};

let isLive = wasLive();
let isAsking = false;
let isStale = false;
let source;
let retrying;
let heardAt = Date.now();

function wasLive() {
  try {
    return localStorage.getItem(LIVE_KEY) !== "off";
  } catch {
    return true;
  }
}

function remember() {
  try {
    localStorage.setItem(LIVE_KEY, isLive ? "on" : "off");
  } catch {
    // It holds for this page then.
  }
}

function mark(state) {
  toggle.dataset.mark = state;
  toggle.title = TITLES[state];
  const word = state === "off" ? "Reconnecting…" : isLive ? "Live" : "Paused";
  toggle.querySelector("[data-live-word]").textContent = word;
  document.body.classList.toggle("stale", state === "off");
}

// Rows must not move under a text that somebody marks, or behind a question about them.
function isBusy() {
  const selection = getSelection();
  const isSelecting = !selection.isCollapsed && list.contains(selection.anchorNode);
  return isAsking || isSelecting || document.querySelector("dialog[open]:not(#palette)");
}

function ask() {
  isStale = true;
  if (!isLive || document.hidden || isBusy()) return;
  isStale = false;
  list.dispatchEvent(new CustomEvent("celeriac:refresh"));
}

function heard() {
  heardAt = Date.now();
  if (toggle.dataset.mark === "off") mark("on");
}

function doubt() {
  if (document.hidden || !isLive) heardAt = Date.now();
  else if (Date.now() - heardAt > SILENT_MS) mark("off");
}

function connect() {
  clearTimeout(retrying);
  source?.close();
  if (!isLive || document.hidden) return;
  source = new EventSource(list.dataset.changes);
  source.addEventListener("open", () => {
    heardAt = Date.now();
    mark("on");
    ask(); // What happened while nobody listened.
  });
  source.addEventListener("changed", () => {
    heard();
    ask();
  });
  source.addEventListener("here", heard);
  source.addEventListener("unavailable", () => mark("off"));
  source.addEventListener("error", () => {
    mark("off");
    if (source.readyState === EventSource.CLOSED) retrying = setTimeout(connect, RETRY_MS);
  });
}

function setLive(on) {
  isLive = on;
  toggle.setAttribute("aria-pressed", String(on));
  mark("");
  connect();
}

function turn() {
  setLive(!isLive);
  remember();
}

function onKey(event) {
  const isTyping = event.target.closest("input:not([type=checkbox]), textarea, select");
  if (event.key !== "p" || event.ctrlKey || event.metaKey || event.altKey || isTyping) return;
  if (!document.querySelector("dialog[open]")) turn();
}

function follow() {
  toggle.addEventListener("click", turn);
  document.addEventListener("keydown", onKey);
  list.addEventListener("htmx:before:request", () => { isAsking = true; });
  list.addEventListener("htmx:after:request", () => { isAsking = false; });
  list.addEventListener("htmx:error", () => { isAsking = false; });
  // Rows that come from now on are new, and show it for a moment.
  list.addEventListener("htmx:before:swap", () => list.classList.add("runs-following"));
  document.addEventListener("visibilitychange", connect);
  // A page that is left, or kept for the back button, holds no connection.
  addEventListener("pagehide", () => source?.close());
  addEventListener("pageshow", ({ persisted }) => persisted && connect());
  setInterval(() => isStale && ask(), AGAIN_MS);
  setInterval(ask, ANYWAY_MS);
  setInterval(doubt, AGAIN_MS);
  setLive(isLive);
}

if (toggle && list) follow();
