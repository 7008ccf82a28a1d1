// A part of a page that asks for its newest state again and again while somebody can see it: the
// element with `data-refresh-ms` hears `celeriac:refresh`, and htmx swaps it. A mark in the page's
// head tells in words whether that works; while it does not, the numbers are dimmed (`body.stale`). Others listen to htmx's own events on the element.
const part = document.querySelector("[data-refresh-ms]");
const mark = document.querySelector("[data-live-mark]");
const SILENT_MS = 6000;
let isAsking = false;
let askedAt = 0;

// What moves under a text that somebody marks would take the marking away.
const isSelecting = () => !getSelection().isCollapsed && part.contains(getSelection().anchorNode);

function ask() {
  if (!isAsking && !document.hidden && !isSelecting()) part.dispatchEvent(new CustomEvent("celeriac:refresh"));
}

function show(state, word) {
  mark.dataset.mark = state;
  mark.querySelector("b").textContent = word;
  document.body.classList.toggle("stale", state === "off");
}

function asked(state, word) {
  isAsking = false;
  show(state, word);
}

function askOrDoubt() {
  if (isAsking && Date.now() - askedAt > SILENT_MS) show("off", "Reconnecting… the server does not answer");
  ask();
}

part.addEventListener("htmx:before:request", () => {
  isAsking = true;
  askedAt = Date.now();
});
part.addEventListener("htmx:after:request", ({ detail }) => {
  const isWell = detail.ctx.response.status < 400;
  asked(isWell ? "on" : "off", isWell ? "live" : "Reconnecting… something is away");
});
part.addEventListener("htmx:error", () => asked("off", "Reconnecting… the server does not answer"));
document.addEventListener("visibilitychange", ask);
setInterval(askOrDoubt, Number(part.dataset.refreshMs));
