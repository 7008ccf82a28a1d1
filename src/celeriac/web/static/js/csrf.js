// htmx's requests prove that they come from this page, as the hidden field of a plain form does.
const token = document.querySelector("meta[name=csrf-token]").content;

document.addEventListener("htmx:config:request", ({ detail }) => {
  const { request } = detail.ctx;
  if (request.method !== "GET") request.headers["X-CSRFToken"] = token;
});
