// Marking rows: one by one, a range with Shift, the page, or all that match the filter. Tells
// `celeriac:picked` who wants to know; `celeriac:unpick` empties it.
const list = document.getElementById("runs");
const picked = new Set();
let isMatching = false; // All that match are meant, those on other pages too.
let last; // The row from which Shift marks.

const boxes = () => [...list.querySelectorAll(".run-pick input")];
const number = new Intl.NumberFormat("en");

function set(box, on) {
  if (on) picked.add(box.value);
  else picked.delete(box.value);
}

function clear() {
  picked.clear();
  isMatching = false;
  draw();
}

function draw() {
  const all = boxes();
  for (const box of all) {
    box.checked = isMatching || picked.has(box.value);
    box.closest(".run-row").classList.toggle("run-picked", box.checked);
  }
  drawTools(all, all.filter((box) => box.checked).length);
  const detail = { ids: [...picked], isMatching };
  list.dispatchEvent(new CustomEvent("celeriac:picked", { detail }));
}

function drawTools(all, here) {
  const total = list.querySelector("[data-total]");
  if (!total) return;
  const head = list.querySelector("[data-pick-all]");
  head.checked = all.length > 0 && here === all.length;
  head.indeterminate = here > 0 && here < all.length;
  const words = isMatching ? "· all selected" : picked.size ? `· ${number.format(picked.size)} selected` : "";
  list.querySelector("[data-picked-words]").textContent = words;
  const hasMore = "capped" in total.dataset || Number(total.dataset.total) > all.length;
  list.querySelector("[data-pick-matching]").hidden = isMatching || !head.checked || !hasMore;
  list.querySelector("[data-pick-none]").hidden = !isMatching && !picked.size;
}

// From the last row that was marked up to this one.
function range(box) {
  const all = boxes();
  const [from, to] = [all.findIndex(({ value }) => value === last), all.indexOf(box)].sort((a, b) => a - b);
  return from < 0 ? [box] : all.slice(from, to + 1);
}

function pick(box, on, withRange) {
  if (isMatching) {
    // One is taken out: the others on the page stay.
    isMatching = false;
    for (const each of boxes()) set(each, true);
  }
  for (const each of withRange ? range(box) : [box]) set(each, on);
  last = box.value;
  draw();
}

function pickPage(on) {
  isMatching = false;
  for (const box of boxes()) set(box, on);
  draw();
}

function onClick(event) {
  const box = event.target.closest(".run-pick input");
  if (box) pick(box, box.checked, event.shiftKey);
  else if (event.target.matches("[data-pick-all]")) pickPage(event.target.checked);
  else if (event.target.closest("[data-pick-none]")) clear();
  else if (event.target.closest("[data-pick-matching]")) {
    isMatching = true;
    draw();
  }
}

function onKey(event) {
  const isTyping = event.target.closest("input:not([type=checkbox]), textarea, select");
  if (event.ctrlKey || event.metaKey || event.altKey || isTyping || document.querySelector("dialog[open]")) return;
  const box = document.activeElement.closest(".run-row")?.querySelector(".run-pick input");
  if (event.key.toLowerCase() === "x" && box) pick(box, event.shiftKey || !box.checked, event.shiftKey);
  else if (event.key === "a") pickPage(!boxes().every((each) => each.checked));
  else if (event.key === "Escape" && (picked.size || isMatching)) clear();
  else return;
  event.preventDefault();
}

if (list) {
  list.addEventListener("click", onClick);
  document.addEventListener("keydown", onKey);
  document.addEventListener("htmx:after:swap", draw);
  list.addEventListener("celeriac:unpick", clear);
  draw();
}
