// The one entry of every page: starts what the page has marks for. Pages work without it.
import { followPage } from "./live.js";
import { followLog } from "./log.js";

const stream = document.body.dataset.live;
if (stream && "EventSource" in window) followPage(stream, document.body.dataset.topics.split(" "));

followLog();

// Closes an open menu as a press outside of it or Escape does everywhere else.
document.addEventListener("click", (event) => {
  for (const menu of document.querySelectorAll("details.tenants[open]")) {
    if (!menu.contains(event.target)) menu.open = false;
  }
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  for (const menu of document.querySelectorAll("details.tenants[open]")) menu.open = false;
});
