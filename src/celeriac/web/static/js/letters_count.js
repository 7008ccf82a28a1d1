// How many dead letters there are, beside the menu's entry: a page that is live asks now and then, which
// costs the server a look into its memory. Others hear `celeriac:letters`; without a detail it failed.
const EVERY_MS = 3000;
const source = document.querySelector("[data-letters-source]")?.dataset.lettersSource;
const number = new Intl.NumberFormat("en");
let isAsking = false;

function show(total) {
  for (const place of document.querySelectorAll("[data-letters-count]")) {
    place.hidden = !total;
    place.querySelector("b").textContent = number.format(total ?? 0);
  }
}

function tell(detail) {
  document.dispatchEvent(new CustomEvent("celeriac:letters", { detail }));
}

async function ask() {
  const isLive = document.querySelector("[data-live-mark], [data-live-toggle][aria-pressed=true]");
  if (isAsking || document.hidden || !isLive) return;
  isAsking = true;
  try {
    const answer = await fetch(source);
    if (!answer.ok) throw new Error(answer.status);
    const counts = await answer.json();
    show(counts.total);
    tell(counts);
  } catch {
    tell(); // The number stays as it was.
  } finally {
    isAsking = false;
  }
}

if (source) setInterval(ask, EVERY_MS);
