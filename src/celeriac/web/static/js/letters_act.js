// Replaying many dead letters: one question that states their number, then a bar that moves and can be
// stopped. The API does it and sends a line now and then (application/x-ndjson).
const page = document.getElementById("letters");
const dialog = document.getElementById("letters-dialog");
const title = document.getElementById("letters-title");
const part = (name) => dialog.querySelector(`[data-letters-${name}]`);
const rate = dialog.querySelector("[name=rate]");
const number = new Intl.NumberFormat("en");
const lettersWord = (count) => `${number.format(count)} letter${count === 1 ? "" : "s"}`;

let selection; // What the API is asked for.
let running; // Stops the request while there is one.
let isOver = false;

// --- The API -------------------------------------------------------------------------------------

async function post(body, signal) {
  const answer = await fetch(dialog.dataset.replay, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
    signal,
  });
  if (answer.ok) return answer;
  const problem = await answer.json().catch(() => ({}));
  throw new Error(problem.errors?.[0]?.detail ?? problem.detail ?? `The server answered ${answer.status}.`);
}

async function* lines(answer) {
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const parts = (rest + value).split("\n");
    rest = parts.pop();
    for (const line of parts) if (line) yield JSON.parse(line);
  }
}

// --- The question --------------------------------------------------------------------------------

function selectionOf(form) {
  const { group, queue, all } = Object.fromEntries(new FormData(form));
  return { ...(group && { group }), ...(queue && { queue }), ...(all && { all: true }) };
}

function show(isAsked, close) {
  part("question").hidden = !isAsked;
  part("progress").hidden = isAsked;
  part("go").hidden = !isAsked;
  part("close").textContent = close;
}

function ask(form) {
  selection = selectionOf(form);
  isOver = false;
  title.textContent = form.dataset.question;
  part("which").textContent = form.dataset.which;
  rate.value = "";
  show(true, "Not now");
  dialog.showModal();
  part("go").focus();
}

// --- Doing it ------------------------------------------------------------------------------------

async function go() {
  title.textContent = "Replaying…";
  title.focus();
  part("stopped").hidden = true;
  part("numbers").textContent = "";
  part("bar").removeAttribute("value");
  show(false, "Stop");
  running = new AbortController();
  const body = { ...selection, ...(rate.valueAsNumber > 0 && { rate: rate.valueAsNumber }) };
  let progress;
  try {
    for await (progress of lines(await post(body, running.signal))) draw(progress);
    end(progress, progress?.stopped ?? (progress?.finished ? "" : "The server ended it early. Ask again to go on."));
  } catch (error) {
    end(progress, error.name === "AbortError" ? "You stopped it. The others stay; ask again to go on." : error.message);
  }
}

function draw({ total, seen, done, unsigned }) {
  Object.assign(part("bar"), { max: Math.max(total, 1), value: seen });
  const signed = unsigned && `${number.format(unsigned)} without a right signature stay`;
  // Of a group nobody knows the number before all are looked at.
  const replayed = selection.group
    ? `${number.format(done)} replayed, ${number.format(seen)} of ${lettersWord(total)} looked at`
    : `${number.format(done)} of ${lettersWord(total)} replayed`;
  part("numbers").textContent = [replayed, signed].filter(Boolean).join(" · ");
}

function end(progress, why) {
  running = undefined;
  isOver = true;
  title.textContent = `Replayed ${lettersWord(progress?.done ?? 0)}`;
  if (progress?.finished) Object.assign(part("bar"), { max: 1, value: 1 });
  else if (!part("bar").hasAttribute("value")) part("bar").value = 0;
  part("stopped").textContent = why;
  part("stopped").hidden = !why;
  show(false, "Close");
  part("close").focus();
  page.dispatchEvent(new CustomEvent("celeriac:refresh"));
}

function onClose() {
  if (running) running.abort();
  else dialog.close();
}

page.addEventListener("submit", (event) => {
  if (!event.target.matches("[data-letters-act]")) return;
  event.preventDefault();
  ask(event.target);
});
dialog.querySelector("form").addEventListener("submit", (event) => {
  event.preventDefault();
  if (!running && !isOver) go();
});
part("close").addEventListener("click", onClose);
dialog.addEventListener("cancel", (event) => {
  event.preventDefault();
  onClose();
});
