// A run's page while it lives: the title follows the state, and the mark tells whether updates flow.
const live = document.getElementById("live");
const mark = document.querySelector("[data-live-mark]");

function setMark(css, word) {
  if (!mark) return;
  mark.dataset.mark = css;
  mark.querySelector("b").textContent = word;
  document.body.classList.toggle("stale", css === "off");
}

// The server draws the page anew every five seconds at least.
const SILENT_MS = 12_000;
let heardAt = Date.now();

function heard() {
  heardAt = Date.now();
  if (mark?.dataset.mark === "off") setMark("on", "live");
}

function doubt() {
  if (document.hidden) heardAt = Date.now();
  else if (Date.now() - heardAt > SILENT_MS) setMark("off", "Reconnecting… nothing comes from the server");
}

function say(text) {
  document.dispatchEvent(new CustomEvent("celeriac:say", { detail: text }));
}

// --- Cancelling: the workers are asked, and the run's state tells when they have done it ---------

let askedIn; // The state in which a cancel was asked for.

function markCancel() {
  const button = document.querySelector("#cancel button");
  if (button) button.disabled = document.getElementById("run-head").dataset.state === askedIn;
}

live.addEventListener("htmx:before:request", ({ target }) => {
  if (target.id !== "cancel") return;
  askedIn = document.getElementById("run-head").dataset.state;
  markCancel();
});
live.addEventListener("htmx:after:request", ({ target, detail }) => {
  if (target.id !== "cancel") return;
  if (detail.ctx.response.status < 400) say("Asked the workers to cancel");
  else askedIn = undefined;
  markCancel();
});

// --- All that follows the run ------------------------------------------------------------------

function follow() {
  markCancel();
  const head = document.getElementById("run-head");
  document.title = [head.dataset.word, live.dataset.task || "run", "Celeriac"].join(" · ");
}

// The palette offers the runs that were looked at last.
function remember() {
  const key = "celeriac-recent-runs";
  const { run: id, task } = live.dataset;
  try {
    const others = (JSON.parse(localStorage.getItem(key)) ?? []).filter((other) => other.id !== id);
    localStorage.setItem(key, JSON.stringify([{ id, task }, ...others].slice(0, 8)));
  } catch {
    // Without storage the palette offers pages and tasks only.
  }
}

live.addEventListener("htmx:after:swap", follow);
live.addEventListener("htmx:sse:after:connection", () => {
  heardAt = Date.now();
  setMark("on", "live");
});
live.addEventListener("htmx:after:swap", heard);
live.addEventListener("log", heard);
let doubting;
if (mark) doubting = setInterval(doubt, 1000);
live.addEventListener("htmx:sse:error", () => setMark("off", "Reconnecting… the connection is lost"));
live.addEventListener("unavailable", () => setMark("off", "Reconnecting… the result backend is away"));
live.addEventListener("finished", () => {
  clearInterval(doubting);
  mark?.remove();
  document.body.classList.remove("stale");
});
document.addEventListener("htmx:response:error", ({ detail }) => {
  say(`The server answered ${detail.ctx.response.status}; nothing was changed`);
});
live.addEventListener("htmx:error", ({ target }) => {
  if (target.id !== "cancel") return setMark("off", "no live updates; reload the page");
  askedIn = undefined;
  markCancel();
  say("The server cannot be reached; nothing was cancelled");
});
remember();

// --- Relatives: children come and go on without an event of this run ----------------------------

const LOOK_AGAIN_MS = 2000;
let drawn; // The relatives as the server drew them last; the page itself changes times in them.

async function lookAgain() {
  const panel = document.getElementById("lineage");
  if (!panel?.dataset.refresh) return;
  if (!document.hidden && !panel.contains(document.activeElement)) {
    try {
      const answer = await fetch(panel.dataset.refresh);
      const html = answer.ok ? await answer.text() : drawn;
      if (html !== drawn) {
        drawn = html;
        panel.outerHTML = html;
        document.dispatchEvent(new Event("htmx:after:swap"));
      }
    } catch {
      // The server is away; the mark beside the title says so.
    }
  }
  setTimeout(lookAgain, LOOK_AGAIN_MS);
}

setTimeout(lookAgain, LOOK_AGAIN_MS / 2);

// --- The JSON as it is now, once somebody opens it ----------------------------------------------

const raw = document.getElementById("raw");

raw?.addEventListener("toggle", async () => {
  if (!raw.open || !mark) return; // A run that had ended is in the page as it is.
  try {
    const answer = await fetch(raw.dataset.source);
    if (answer.ok) document.getElementById("raw-text").textContent = JSON.stringify(await answer.json(), null, 2);
  } catch {
    // What the page began with stays.
  }
});
