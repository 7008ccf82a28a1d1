// Dead letters: the page says when there are others than it shows, what cannot be undone waits for the
// right word, and a button is pressed once.
const page = document.getElementById("letters");
const news = document.getElementById("letters-news");
const mark = document.querySelector("[data-live-mark]");
const number = new Intl.NumberFormat("en");

// --- New letters: to look at them hides them from others for a moment, so it is done when asked for ---

const drawn = () => Number(document.getElementById("letters-waiting").dataset.total);

function newsWords(more) {
  const many = Math.abs(more);
  const letters = `${number.format(many)}${more > 0 ? " new" : ""} letter${many === 1 ? "" : "s"}`;
  return more > 0 ? letters : `${letters} ${many === 1 ? "is" : "are"} gone`;
}

function setMark(state, word) {
  mark.dataset.mark = state;
  mark.querySelector("b").textContent = word;
  document.body.classList.toggle("stale", state === "off");
}

function redraw() {
  news.hidden = true;
  page.dispatchEvent(new CustomEvent("celeriac:refresh"));
}

function onCounts({ detail }) {
  if (!detail) return setMark("off", "Reconnecting… the server does not answer");
  if (!detail.queues) return setMark("", "not live; reload to look again"); // Nobody has counted of late.
  setMark("on", "live");
  const now = page.dataset.queue ? (detail.queues[page.dataset.queue] ?? 0) : detail.total;
  const more = now - drawn();
  if (document.querySelector("dialog[open]")) return; // What goes on there changes the number.
  if (more && !drawn()) return redraw(); // There is nothing to lose sight of.
  news.hidden = !more;
  news.querySelector("span").textContent = newsWords(more);
  news.querySelector("a").textContent = more < 0 ? "Show what is left" : more === 1 ? "Show it" : "Show them";
}

document.addEventListener("celeriac:letters", onCounts);
news.querySelector("a").addEventListener("click", (event) => {
  if (event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  redraw();
});

// --- Forms ------------------------------------------------------------------------------------------

function check(field) {
  field.form.querySelector("[type=submit]").disabled = field.value.trim() !== field.dataset.mustBe;
}

function checkAll() {
  for (const field of document.querySelectorAll("[data-must-be]")) check(field);
}

document.addEventListener("input", ({ target }) => {
  if (target.dataset.mustBe !== undefined) check(target);
});
document.addEventListener("submit", (event) => {
  if (event.defaultPrevented) return; // A dialog asks first.
  const button = event.target.querySelector("[type=submit]");
  button.classList.add("busy");
  setTimeout(() => { button.disabled = true; });
});
document.addEventListener("toggle", ({ target }) => {
  if (target.open) target.querySelector("[data-must-be]")?.focus();
}, true);
page.addEventListener("htmx:after:swap", checkAll);
checkAll();
