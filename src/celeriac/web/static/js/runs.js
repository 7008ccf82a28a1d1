// The list of runs: filters apply as they are chosen, rows answer to clicks and keys.
// Beside it: runs-live.js (refreshing), runs-select.js (marking rows), runs-bulk.js (acting on many),
// runs-saved.js (filters with a name).
const form = document.querySelector("[data-runs-filter]");
const list = document.getElementById("runs");
const keysDialog = document.getElementById("runs-keys");

// --- Filters -----------------------------------------------------------------------------------

const FOCUS_KEY = "celeriac-runs-focus";

function keepFocus(id) {
  try {
    sessionStorage.setItem(FOCUS_KEY, id);
  } catch {
    // Without storage the next page begins at its top, as any page does.
  }
}

function takeFocus() {
  try {
    const id = sessionStorage.getItem(FOCUS_KEY);
    sessionStorage.removeItem(FOCUS_KEY);
    if (id) document.getElementById(id)?.focus({ preventScroll: true });
  } catch {
    // See above.
  }
}

form.addEventListener("change", ({ target }) => {
  if (!target.matches("select, [data-tag]")) return;
  keepFocus(target.id);
  form.requestSubmit();
});
form.addEventListener("click", ({ target }) => {
  const chip = target.closest(".state-chip");
  if (chip) keepFocus(chip.id);
});
// What is not filled in does not belong in the address. An empty field for one more tag has the name of
// the tags that are asked for already: those stay.
form.addEventListener("formdata", ({ formData }) => {
  const filled = [...formData].filter(([, value]) => value.trim());
  for (const [name] of [...formData]) formData.delete(name);
  for (const [name, value] of filled) formData.append(name, value);
});

// --- Rows --------------------------------------------------------------------------------------

const isSelecting = () => !getSelection().isCollapsed && list.contains(getSelection().anchorNode);

function openRow(event) {
  const link = event.target.closest(".run-row")?.querySelector(".run-link");
  if (!link || event.target.closest("a, button, label, input") || isSelecting()) return;
  if (event.ctrlKey || event.metaKey) window.open(link.href, "_blank", "noopener");
  else link.click();
}

function move(step) {
  const links = [...list.querySelectorAll(".run-link")];
  const here = links.indexOf(document.activeElement.closest(".run-row")?.querySelector(".run-link"));
  const next = here < 0 ? links[step > 0 ? 0 : -1] : links[here + step];
  next?.focus();
  next?.scrollIntoView({ block: "nearest" });
}

const isTyping = ({ target }) => target.closest("input:not([type=checkbox]), textarea, select, [contenteditable]");
const hasDialog = () => document.querySelector("dialog[open]");

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event) || hasDialog()) return;
  const isArrow = event.key === "ArrowDown" || event.key === "ArrowUp";
  if (isArrow && !document.activeElement.closest(".run-row")) return; // The page scrolls.
  const steps = { j: 1, ArrowDown: 1, k: -1, ArrowUp: -1 };
  if (event.key in steps) move(steps[event.key]);
  else if (event.key === "?") keysDialog.showModal();
  else return;
  event.preventDefault();
}

if (list) {
  list.addEventListener("click", openRow);
  document.addEventListener("keydown", onKey);
  list.addEventListener("click", ({ target }) => target.closest("[data-show-keys]") && keysDialog.showModal());
  keysDialog.addEventListener("click", ({ target }) => target === keysDialog && keysDialog.close());
}
takeFocus();
