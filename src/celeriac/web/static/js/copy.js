// Buttons that copy a text, or what another element shows; a line at the bottom says so.
const toast = document.getElementById("toast");
let hiding;

function say(text) {
  toast.textContent = text;
  toast.classList.add("toast-shown");
  clearTimeout(hiding);
  hiding = setTimeout(() => toast.classList.remove("toast-shown"), 2000);
}

async function write(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  // Plain HTTP on another host has no clipboard API; a selection can still be copied.
  const area = document.createElement("textarea");
  area.value = text;
  area.className = "visually-hidden";
  document.body.append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  if (!done) throw new Error("not allowed");
}

document.addEventListener("celeriac:say", (event) => say(event.detail));

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy], [data-copy-from]");
  if (!button) return;
  const text = button.dataset.copy ?? document.getElementById(button.dataset.copyFrom).textContent;
  try {
    await write(text);
    say("Copied");
    button.classList.add("copied");
    setTimeout(() => button.classList.remove("copied"), 1200);
  } catch {
    say("The browser did not allow copying");
  }
});
