// Runs before the first paint: the chosen colours, or the system's, and a mark that scripts run.
(() => {
  const root = document.documentElement;
  const system = matchMedia("(prefers-color-scheme: dark)");
  const words = ["system", "light", "dark"];

  const chosen = () => {
    try {
      const word = localStorage.getItem("celeriac-theme");
      return words.includes(word) ? word : "system";
    } catch {
      return "system";
    }
  };

  const apply = () => {
    const word = chosen();
    const dark = word === "dark" || (word === "system" && system.matches);
    root.dataset.bsTheme = dark ? "dark" : "light";
    root.dataset.themeChoice = word;
    const button = document.querySelector("[data-theme-toggle]");
    if (!button) return;
    const label = word === "system" ? "as the system" : word;
    button.setAttribute("aria-label", `Colours: ${label}`);
    button.querySelector("[data-theme-word]").textContent = word[0].toUpperCase() + word.slice(1);
  };

  const next = () => {
    try {
      localStorage.setItem("celeriac-theme", words[(words.indexOf(chosen()) + 1) % words.length]);
    } catch {
      return;
    }
    apply();
  };

  root.classList.add("js");
  apply();
  system.addEventListener("change", apply);
  addEventListener("storage", apply);
  addEventListener("DOMContentLoaded", apply);
  addEventListener("click", (event) => event.target.closest("[data-theme-toggle]") && next());
})();
