// Cancelling or resubmitting many runs: a question that states their number, a bar that moves and can
// be stopped, a summary. The API does it and sends a line now and then (application/x-ndjson).
const list = document.getElementById("runs");
const dialog = document.getElementById("bulk");
const PROBLEMS_SHOWN = 10;
// The server knows the words and the threshold, for its own question without scripts.
const WORDS = JSON.parse(dialog?.dataset.words ?? "{}");
const TYPED_ABOVE = Number(dialog?.dataset.typedAbove);

const part = (name) => dialog.querySelector(`[data-bulk-${name}]`);
const number = new Intl.NumberFormat("en");
const runsWord = (count) => `${number.format(count)} run${count === 1 ? "" : "s"}`;

let picked = { ids: [], isMatching: false };
let action; // "cancel" or "resubmit".
let target; // What the API is asked for.
let running; // Stops the request while there is one.
let isOver = false;

// --- Which runs ----------------------------------------------------------------------------------

function targetOf({ ids, isMatching }) {
  if (ids.length && !isMatching) return { filter: { ids } };
  const filter = JSON.parse(list.dataset.filter);
  return Object.keys(filter).length ? { filter } : { filter, all: true };
}

function targetWords() {
  if (target.filter.ids) return "The runs that you selected.";
  return target.all ? "Every run there is." : `All that match: ${filterWords()}.`;
}

function filterWords() {
  const states = target.filter.state?.join(", ");
  return [states && `State: ${states}`, list.dataset.chips].filter(Boolean).join(", ");
}

function label(event) {
  picked = event.detail;
  const count = picked.ids.length && !picked.isMatching ? number.format(picked.ids.length) : "all";
  for (const button of list.querySelectorAll("[data-bulk]")) {
    button.querySelector("[data-bulk-word]").textContent = `${WORDS[button.dataset.bulk].verb} ${count}…`;
  }
}

// --- The API -------------------------------------------------------------------------------------

async function post(body, signal) {
  const answer = await fetch(dialog.dataset[action], {
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

function show({ question = false, progress = false, go = "", close = "Close" }) {
  part("question").hidden = !question;
  part("progress").hidden = !progress;
  part("go").hidden = !go;
  part("go").textContent = go;
  part("close").textContent = close;
}

async function open(name) {
  action = name;
  target = targetOf(picked);
  isOver = false;
  part("title").textContent = "Counting…";
  part("input").value = part("rate").value = "";
  part("again").checked = false;
  show({});
  dialog.showModal();
  await count();
}

async function count() {
  running = new AbortController();
  try {
    const found = await (await post({ ...target, dry_run: true }, running.signal)).json();
    ask(found);
  } catch (error) {
    if (error.name !== "AbortError") fail(error.message);
  } finally {
    running = undefined;
  }
}

function ask({ matched, capped }) {
  const words = WORDS[action];
  if (!matched) {
    part("title").textContent = `Nothing to ${action}`;
    part("advice").textContent = words.none;
    part("filter").textContent = "";
    part("options").hidden = part("typed").hidden = true;
    show({ question: true });
    return part("close").focus();
  }
  part("title").textContent = `${words.verb} ${capped ? "more than " : ""}${runsWord(matched)}?`;
  part("advice").textContent = words.advice;
  part("filter").textContent = targetWords();
  part("options").hidden = action !== "resubmit";
  part("typed").hidden = matched <= TYPED_ABOVE;
  part("number").textContent = String(matched);
  show({ question: true, go: words.verb, close: words.keep });
  check();
  (matched > TYPED_ABOVE ? part("input") : part("close")).focus();
}

function check() {
  const isTyped = part("input").value.replace(/\D/g, "") === part("number").textContent;
  part("go").disabled = !part("typed").hidden && !isTyped;
}

// --- Doing it ------------------------------------------------------------------------------------

function options() {
  if (action !== "resubmit") return {};
  const rate = part("rate").valueAsNumber;
  return { again: part("again").checked, ...(rate > 0 ? { rate } : {}) };
}

// With `again` nothing is passed over: asking for the same once more would double what was done.
function goOn() {
  const isAgain = action === "resubmit" && part("again").checked;
  return isAgain ? "To go on, ask again without the runs that were resubmitted before." : "Ask again to go on.";
}

async function go() {
  const words = WORDS[action];
  part("title").textContent = `${words.doing}…`;
  part("title").focus();
  part("stopped").hidden = true;
  part("problems").replaceChildren();
  part("numbers").textContent = "";
  part("bar").removeAttribute("value");
  show({ progress: true, close: "Stop" });
  running = new AbortController();
  let progress;
  try {
    for await (progress of lines(await post({ ...target, ...options() }, running.signal))) draw(progress);
    end(progress, progress?.stopped ?? (progress?.finished ? "" : `The server ended it early. ${goOn()}`));
  } catch (error) {
    end(progress, error.name === "AbortError" ? `You stopped it. What was done stays done. ${goOn()}` : error.message);
  }
}

function draw({ matched, capped, done, skipped, failed, problems }) {
  const gone = done + skipped + failed;
  const bar = part("bar");
  if (capped) bar.removeAttribute("value");
  else Object.assign(bar, { max: Math.max(matched, 1), value: gone });
  const rest = [skipped && `${number.format(skipped)} skipped`, failed && `${number.format(failed)} failed`];
  const of = `${number.format(gone)} of ${capped ? "more than " : ""}${number.format(matched)}`;
  part("numbers").textContent = [of, ...rest.filter(Boolean)].join(" · ");
  part("problems").replaceChildren(...problems.slice(0, PROBLEMS_SHOWN).map(problemItem));
}

function problemItem({ run, detail }) {
  const item = document.createElement("li");
  const link = document.createElement("a");
  link.href = dialog.dataset.run.replace("RUN", encodeURIComponent(run));
  link.textContent = run;
  item.append(link, ` ${detail}`);
  return item;
}

function end(progress, why) {
  running = undefined;
  isOver = true;
  const done = progress?.done ?? 0;
  part("title").textContent = `${WORDS[action].done} ${runsWord(done)}`;
  if (progress?.finished) Object.assign(part("bar"), { max: 1, value: 1 });
  else if (!part("bar").hasAttribute("value")) part("bar").value = 0;
  part("stopped").textContent = why;
  part("stopped").hidden = !why;
  show({ progress: true });
  part("close").focus();
  list.dispatchEvent(new CustomEvent("celeriac:unpick"));
}

function fail(message) {
  part("title").textContent = "That did not work";
  part("advice").textContent = message;
  part("filter").textContent = "";
  part("options").hidden = part("typed").hidden = true;
  show({ question: true });
}

function closed() {
  running?.abort();
  if (!isOver) return;
  if ("live" in list.dataset) list.dispatchEvent(new CustomEvent("celeriac:refresh"));
  else location.reload();
}

function onClose() {
  if (running && !part("progress").hidden) running.abort();
  else dialog.close();
}

if (list && dialog) {
  list.addEventListener("celeriac:picked", label);
  document.getElementById("runs-action").addEventListener("submit", (event) => {
    event.preventDefault();
    open(event.submitter.value);
  });
  part("form").addEventListener("submit", (event) => {
    event.preventDefault();
    if (!part("go").hidden && !part("go").disabled) go();
  });
  part("input").addEventListener("input", check);
  part("close").addEventListener("click", onClose);
  dialog.addEventListener("cancel", (event) => {
    event.preventDefault();
    onClose();
  });
  dialog.addEventListener("close", closed);
}
