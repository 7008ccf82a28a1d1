// Queues and workers: the page asks for its newest state while somebody can see it, queues draw how
// deep they were of late, and what cannot be undone waits for the right word.
const part = document.getElementById("fleet");
const SAMPLES = 60;
const DEPTHS_KEY = "celeriac-depths";

// --- Depths --------------------------------------------------------------------------------------

function storedDepths() {
  try {
    return JSON.parse(sessionStorage.getItem(DEPTHS_KEY)) ?? {};
  } catch {
    return {};
  }
}

const depths = storedDepths();

function storeDepths() {
  try {
    sessionStorage.setItem(DEPTHS_KEY, JSON.stringify(depths));
  } catch {
    // Without storage the line begins anew on each page.
  }
}

function note(row) {
  const ready = Number.parseInt(row.dataset.ready, 10);
  if (Number.isNaN(ready)) return;
  depths[row.dataset.queue] = [...(depths[row.dataset.queue] ?? []), ready].slice(-SAMPLES);
}

function shape(name, points) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  element.setAttribute("points", points.map((point) => point.join(",")).join(" "));
  return element;
}

function draw(row) {
  const known = depths[row.dataset.queue] ?? [];
  const spark = row.querySelector("[data-spark]");
  const most = Math.max(...known);
  if (!spark || known.length < 2 || most === 0) return;
  // A page that was just opened has few samples: they fill a third of the line at most.
  const step = 100 / (Math.max(known.length, SAMPLES / 3) - 1);
  const points = known.map((ready, i) => [100 - step * (known.length - 1 - i), 23 - (21 * ready) / most]);
  spark.replaceChildren(shape("polygon", [[points[0][0], 24], ...points, [100, 24]]), shape("polyline", points));
}

function follow() {
  for (const row of part.querySelectorAll("[data-queue]")) {
    note(row);
    draw(row);
  }
  storeDepths();
  countToPurge();
}

// --- Live: refreshing.js asks -----------------------------------------------------------------------

part.addEventListener("htmx:after:swap", follow);

// --- Actions: a button that was pressed shows it until the next page comes --------------------------

document.addEventListener("submit", ({ target }) => target.querySelector("[type=submit]")?.classList.add("busy"));

// --- Confirmations -------------------------------------------------------------------------------

function check(field) {
  field.form.querySelector("[type=submit]").disabled = field.value !== field.dataset.mustBe;
}

document.addEventListener("input", ({ target }) => {
  if (target.dataset.mustBe !== undefined) check(target);
});
for (const field of document.querySelectorAll("[data-must-be]")) check(field);

const dialog = document.getElementById("purge");

function waitingWords(ready) {
  if (ready === "") return "Drops what waits";
  return ready === "1" ? "Drops the message that waits" : `Drops the ${Number(ready).toLocaleString("en")} messages that wait`;
}

function countToPurge() {
  const name = dialog?.querySelector("[data-must-be]").dataset.mustBe;
  const row = [...part.querySelectorAll("[data-queue]")].find((row) => row.dataset.queue === name);
  if (row) dialog.querySelector("[data-purge-count]").textContent = waitingWords(row.dataset.ready);
}

function askToPurge(link) {
  const field = dialog.querySelector("[data-must-be]");
  for (const place of dialog.querySelectorAll("[data-purge-name]")) place.textContent = link.dataset.purge;
  field.form.action = link.href;
  field.dataset.mustBe = link.dataset.purge;
  field.value = "";
  check(field);
  countToPurge();
  dialog.showModal();
  field.focus();
}

part.addEventListener("click", (event) => {
  const link = event.target.closest("[data-purge]");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  askToPurge(link);
});
dialog?.addEventListener("click", ({ target }) => {
  if (target === dialog || target.closest("[data-close]")) dialog.close();
});

follow();
