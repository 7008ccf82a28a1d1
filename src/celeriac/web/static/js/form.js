// A task's form: rows of lists, times in the viewer's zone, and one submission at a time.
const form = document.querySelector("[data-run-form]");

// --- Lists -------------------------------------------------------------------------------------

function addRow(list, { focus = true } = {}) {
  const row = list.querySelector(":scope > template").content.firstElementChild.cloneNode(true);
  const mark = `__row${list.dataset.depth}__`;
  const number = list.dataset.next++;
  const holder = document.createElement("div");
  holder.append(row);
  holder.innerHTML = holder.innerHTML.replaceAll(mark, number);
  const added = holder.firstElementChild;
  list.querySelector(":scope > .rows").append(added);
  prepare(added);
  if (focus) added.querySelector("input:not([type=hidden]), select, textarea")?.focus();
  changed();
}

function removeRow(row) {
  const list = row.closest("[data-list]");
  const next = row.nextElementSibling ?? row.previousElementSibling;
  row.remove();
  (next?.querySelector("[data-remove-row]") ?? list.querySelector(":scope > [data-add-row]")).focus();
  changed();
}

function changed() {
  form.dispatchEvent(new CustomEvent("rows-changed", { bubbles: true }));
}

// --- Times -------------------------------------------------------------------------------------

const zoneName = Intl.DateTimeFormat().resolvedOptions().timeZone;
const two = (number) => String(number).padStart(2, "0");

function zoneOf(date) {
  const minutes = -date.getTimezoneOffset();
  const sign = minutes < 0 ? "-" : "+";
  return `${sign}${two(Math.floor(Math.abs(minutes) / 60))}:${two(Math.abs(minutes) % 60)}`;
}

function localText(date) {
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  return `${day}T${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}

function noteZone(input) {
  const date = new Date(input.value);
  input.nextElementSibling.value = Number.isNaN(date.valueOf()) ? "" : zoneOf(date);
}

function localise(input) {
  if (input.dataset.instant) input.value = localText(new Date(input.dataset.instant));
  noteZone(input);
  input.addEventListener("input", () => noteZone(input));
  input.parentElement.querySelector("[data-zone-hint]").textContent = `In your time zone, ${zoneName}.`;
}

// --- All together ------------------------------------------------------------------------------

function prepare(part) {
  part.querySelectorAll(".list-row-spare").forEach((row) => row.remove());
  part.querySelectorAll("[data-zoned]").forEach(localise);
  for (const list of part.querySelectorAll("[data-list]")) {
    const rows = list.querySelectorAll(":scope > .rows > li").length;
    list.dataset.next = rows;
    if (!rows && "wantsRow" in list.dataset) addRow(list, { focus: false });
  }
}

form.addEventListener("click", (event) => {
  const add = event.target.closest("[data-add-row]");
  if (add) addRow(add.closest("[data-list]"));
  const remove = event.target.closest("[data-remove-row]");
  if (remove) removeRow(remove.closest(".list-row"));
});

// A field inside the folded options cannot show what is wrong with it until they are open.
form.addEventListener("invalid", (event) => {
  const folded = event.target.closest("details");
  if (folded) folded.open = true;
}, true);

form.addEventListener("submit", (event) => {
  const button = form.querySelector("[type=submit]");
  if (!button) return event.preventDefault();
  button.classList.add("busy");
  setTimeout(() => { button.disabled = true; });
});
addEventListener("pageshow", () => {
  const button = form.querySelector("[type=submit]");
  if (!button) return; // Who may only look has none.
  button.disabled = false;
  button.classList.remove("busy");
});

document.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && !document.querySelector("dialog[open]")) {
    event.preventDefault();
    form.requestSubmit();
  }
});

prepare(form);
document.querySelector("[data-focus]")?.focus();
