// The catalog's filter: as you type, kept in the address; arrows move between the tasks found.
const input = document.querySelector("[data-filter]");
const rows = [...document.querySelectorAll("[data-text]")];
const groups = document.querySelectorAll("[data-filter-group]");
const count = document.querySelector("[data-filter-count]");
const none = document.querySelector("[data-filter-none]");

function apply() {
  const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
  for (const row of rows) row.hidden = !words.every((word) => row.dataset.text.includes(word));
  for (const group of groups) group.hidden = !group.querySelector("[data-text]:not([hidden])");
  const found = rows.filter((row) => !row.hidden).length;
  count.textContent = found === rows.length ? String(found) : `${found} of ${rows.length}`;
  if (none) none.hidden = found > 0;
}

function remember() {
  const address = new URL(location);
  if (input.value.trim()) address.searchParams.set("q", input.value.trim());
  else address.searchParams.delete("q");
  history.replaceState(history.state, "", address);
}

function move(event) {
  if (event.key !== "ArrowDown" && event.key !== "ArrowUp") return;
  const links = rows.filter((row) => !row.hidden).map((row) => row.querySelector("a"));
  const here = links.indexOf(document.activeElement);
  if (here < 0 && document.activeElement !== input) return;
  event.preventDefault();
  const next = here + (event.key === "ArrowDown" ? 1 : -1);
  if (next < 0) input.focus();
  else links[Math.min(next, links.length - 1)]?.focus();
}

input.addEventListener("input", () => {
  apply();
  remember();
});
input.form.addEventListener("submit", (event) => {
  event.preventDefault();
  rows.find((row) => !row.hidden)?.querySelector("a").focus();
});
document.addEventListener("keydown", move);
// Going back restores the typed text after this script has run.
addEventListener("pageshow", apply);
