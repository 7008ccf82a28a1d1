// The command palette (Ctrl-K): pages, tasks, runs seen lately, and any run by its identifier.
// Also the key `/`, which goes to the page's search field, or opens the palette where there is none.
const dialog = document.getElementById("palette");
const input = dialog.querySelector("input");
const list = dialog.querySelector("[role=listbox]");
const RUN_ID = /^[0-9a-z][0-9a-z-]{15,}$/i;
const SHOWN_MAX = 12;
let source;
let chosen = 0;
let drawn = Promise.resolve();

async function load() {
  source ??= fetch(dialog.dataset.source, { headers: { Accept: "application/json" } })
    .then((answer) => (answer.ok ? answer.json() : Promise.reject(answer.status)))
    .catch(() => {
      source = undefined;
      return { pages: [], tasks: [], run: "/runs/RUN" };
    });
  return source;
}

function recentRuns() {
  try {
    return JSON.parse(localStorage.getItem("celeriac-recent-runs")) ?? [];
  } catch {
    return [];
  }
}

function candidates(data, query) {
  const run = (id) => data.run.replace("RUN", encodeURIComponent(id));
  const recent = recentRuns().map(({ id, task }) => ({ kind: "Run", label: task || "run", hint: id, href: run(id) }));
  const all = [
    ...data.tasks.map((task) => ({ kind: "Task", ...task })),
    ...data.pages.map((page) => ({ kind: "Page", hint: "", ...page })),
    ...recent,
  ];
  const words = query.toLowerCase().split(/\s+/).filter(Boolean);
  const found = all.filter(({ label, hint }) => words.every((word) => `${label} ${hint}`.toLowerCase().includes(word)));
  const ranked = found.sort((a, b) => rank(a, words) - rank(b, words)).slice(0, SHOWN_MAX);
  if (RUN_ID.test(query.trim())) {
    ranked.unshift({ kind: "Run", label: "Open run", hint: query.trim(), href: run(query.trim()) });
  }
  return ranked;
}

function rank({ label }, words) {
  const name = label.toLowerCase();
  if (!words.length) return 0;
  return name.startsWith(words[0]) ? 0 : name.includes(words[0]) ? 1 : 2;
}

function option({ kind, label, hint, href }, index) {
  const item = document.createElement("li");
  item.id = `palette-${index}`;
  item.role = "option";
  item.dataset.href = href;
  for (const [css, text] of [["palette-kind", kind], ["palette-label", label], ["palette-hint", hint]]) {
    const part = document.createElement("span");
    part.className = css;
    part.textContent = text;
    item.append(part);
  }
  return item;
}

function choose(index) {
  const items = [...list.children];
  chosen = items.length ? (index + items.length) % items.length : 0;
  items.forEach((item, number) => item.setAttribute("aria-selected", String(number === chosen)));
  input.setAttribute("aria-activedescendant", items[chosen]?.dataset.href ? items[chosen].id : "");
  items[chosen]?.scrollIntoView({ block: "nearest" });
}

async function draw() {
  const found = candidates(await load(), input.value);
  list.replaceChildren(...found.map(option));
  if (!found.length) {
    const none = document.createElement("li");
    none.className = "palette-none";
    none.role = "option";
    none.setAttribute("aria-disabled", "true");
    none.textContent = "Nothing matches. A run’s identifier opens that run.";
    list.append(none);
  }
  choose(0);
}

function redraw() {
  drawn = draw();
}

function open() {
  if (dialog.open) return;
  input.value = "";
  dialog.showModal();
  redraw();
}

function follow(item, event) {
  if (!item?.dataset.href) return;
  if (event.ctrlKey || event.metaKey) window.open(item.dataset.href, "_blank", "noopener");
  else location.assign(item.dataset.href);
  dialog.close();
}

const keys = {
  ArrowDown: () => choose(chosen + 1),
  ArrowUp: () => choose(chosen - 1),
  // Whoever types faster than the list loads gets what was typed, not what was shown.
  Enter: (event) => drawn.then(() => follow(list.children[chosen], event)),
};

input.addEventListener("input", redraw);
input.addEventListener("keydown", (event) => {
  const act = keys[event.key];
  if (!act || event.isComposing) return;
  event.preventDefault();
  act(event);
});
list.addEventListener("click", (event) => follow(event.target.closest("li"), event));
dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());

document.addEventListener("click", (event) => event.target.closest("[data-open-palette]") && open());
document.addEventListener("keydown", (event) => {
  if ((event.ctrlKey || event.metaKey) && !event.shiftKey && event.key.toLowerCase() === "k") {
    event.preventDefault();
    open();
    return;
  }
  const typing = event.target.closest("input, textarea, select, [contenteditable]");
  if (event.key !== "/" || typing || event.ctrlKey || event.metaKey || event.altKey || dialog.open) return;
  event.preventDefault();
  const search = document.querySelector("[data-search]");
  if (search) search.select();
  else open();
});
