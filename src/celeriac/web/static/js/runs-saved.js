// Filters with a name, kept by this browser. Each is an address, so it can be sent to others as well.
const box = document.querySelector("[data-saved]");
const KEY = "celeriac-saved-filters";
const MOST = 50;
const here = location.pathname + searchOf(new URLSearchParams(location.search));

function searchOf(query) {
  query.delete("cursor");
  for (const [name, value] of [...query]) if (!value) query.delete(name, value);
  query.sort();
  return query.size ? `?${query}` : "";
}

const part = (name) => box.querySelector(`[data-saved-${name}]`);

function load() {
  try {
    const kept = JSON.parse(localStorage.getItem(KEY)) ?? [];
    return kept.filter(({ name, search }) => typeof name === "string" && typeof search === "string");
  } catch {
    return [];
  }
}

function store(saved) {
  try {
    localStorage.setItem(KEY, JSON.stringify(saved.slice(0, MOST)));
    return true;
  } catch {
    say("The browser does not keep anything for this site");
    return false;
  }
}

function say(text) {
  document.dispatchEvent(new CustomEvent("celeriac:say", { detail: text }));
}

const isHere = ({ search }) => location.pathname + search === here;

function save() {
  const name = part("name").value.trim();
  if (!name) return part("name").focus();
  const search = here.slice(location.pathname.length);
  const others = load().filter((each) => each.name !== name && each.search !== search);
  const saved = [...others, { name, search }].sort((a, b) => a.name.localeCompare(b.name));
  if (!store(saved)) return;
  part("name").value = "";
  say(`Saved as “${name}”`);
  draw();
  box.querySelector("[aria-current]")?.focus();
}

function rename(old, item) {
  const field = document.createElement("input");
  field.className = "form-control";
  field.value = old.name;
  field.maxLength = 60;
  field.setAttribute("aria-label", `New name for ${old.name}`);
  field.setAttribute("form", "saved-nowhere");
  let isDone = false;
  const finish = (keep) => {
    if (isDone) return;
    isDone = true;
    const name = field.value.trim();
    if (keep && name) {
      const others = load().filter((each) => each.search !== old.search && each.name !== name);
      store([...others, { ...old, name }].sort((a, b) => a.name.localeCompare(b.name)));
    }
    draw();
    [...box.querySelectorAll("[data-rename]")].find(({ dataset }) => dataset.rename === old.search)?.focus();
  };
  field.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" && event.key !== "Escape") return;
    event.preventDefault();
    event.stopPropagation();
    finish(event.key === "Enter");
  });
  field.addEventListener("blur", () => finish(true));
  item.replaceChildren(field);
  field.select();
}

function remove(old) {
  store(load().filter((each) => each.search !== old.search));
  say(`Removed “${old.name}”`);
  draw();
  (box.querySelector("[data-saved-list] a") ?? part("name")).focus();
}

function button(icon, what, act) {
  const made = document.createElement("button");
  made.type = "button";
  made.className = "quiet-button";
  made.setAttribute("aria-label", what);
  made.title = what;
  made.innerHTML = `<svg class="glyph" aria-hidden="true" focusable="false"><use href="#i-${icon}"></use></svg>`;
  made.addEventListener("click", act);
  return made;
}

function itemOf(saved) {
  const item = document.createElement("li");
  const link = document.createElement("a");
  link.href = location.pathname + saved.search;
  link.textContent = saved.name;
  if (isHere(saved)) link.setAttribute("aria-current", "true");
  const renaming = button("pencil", `Rename ${saved.name}`, () => rename(saved, item));
  renaming.dataset.rename = saved.search;
  item.append(link, renaming, button("trash", `Remove ${saved.name}`, () => remove(saved)));
  return item;
}

function draw() {
  const saved = load();
  const current = saved.find(isHere);
  part("list").replaceChildren(...saved.map(itemOf));
  part("none").hidden = saved.length > 0;
  part("form").hidden = Boolean(current) || here === location.pathname;
  part("word").textContent = current ? current.name : "Saved filters";
  box.classList.toggle("saved-current", Boolean(current));
}

if (box) {
  part("save").addEventListener("click", save);
  part("name").addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault();
    save();
  });
  // Esc, or a click elsewhere, closes the menu.
  box.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !box.open) return;
    event.stopPropagation();
    box.open = false;
    box.querySelector("summary").focus();
  });
  document.addEventListener("click", ({ target }) => {
    if (target.isConnected && !box.contains(target)) box.open = false;
  });
  addEventListener("storage", ({ key }) => key === KEY && draw());
  draw();
}
