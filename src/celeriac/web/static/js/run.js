// A run's page while it lives: the title follows the state, and the mark tells whether updates flow.
const live = document.getElementById("live");
const mark = document.querySelector("[data-live-mark]");

function setMark(css, word) {
  if (!mark) return;
  mark.dataset.mark = css;
  mark.querySelector("b").textContent = word;
}

function follow() {
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
  const text = `The server answered ${detail.ctx.response.status}; nothing was changed`;
  document.dispatchEvent(new CustomEvent("celeriac:say", { detail: text }));
});
live.addEventListener("htmx:error", () => setMark("off", "no live updates; reload the page"));
remember();
