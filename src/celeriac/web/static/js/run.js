// A run's page while it lives: the title follows the state, and the mark tells whether updates flow.
const live = document.getElementById("live");
const mark = document.querySelector("[data-live-mark]");

function setMark(css, word) {
  if (!mark) return;
  mark.dataset.mark = css;
  mark.querySelector("b").textContent = word;
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
live.addEventListener("htmx:sse:after:connection", () => setMark("on", "live"));
live.addEventListener("htmx:sse:error", () => setMark("off", "connection lost, trying again"));
live.addEventListener("unavailable", () => setMark("off", "the result backend is away, trying again"));
live.addEventListener("finished", () => mark?.remove());
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
