// Dead letters: what cannot be undone waits for the right word, and a button is pressed once.
function check(field) {
  field.form.querySelector("[type=submit]").disabled = field.value.trim() !== field.dataset.mustBe;
}

document.addEventListener("input", ({ target }) => {
  if (target.dataset.mustBe !== undefined) check(target);
});
document.addEventListener("submit", ({ target }) => {
  const button = target.querySelector("[type=submit]");
  button.classList.add("busy");
  setTimeout(() => { button.disabled = true; });
});
document.addEventListener("toggle", ({ target }) => {
  if (target.open) target.querySelector("[data-must-be]")?.focus();
}, true);
for (const field of document.querySelectorAll("[data-must-be]")) check(field);
