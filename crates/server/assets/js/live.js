// Live pages: one event stream; on news about the page's topics it is fetched again and patched.
// A list under the pointer is never reordered: a line above it says how much is new instead.
import { followLog } from "./log.js";
import { morph } from "./morph.js";

const QUIET_MS = 400;

export function followPage(url, topics) {
  let waiting = false;
  let missed = false;
  const news = () => {
    if (document.hidden) { missed = true; return; }
    if (waiting) return;
    waiting = true;
    setTimeout(async () => { waiting = false; await refresh(); }, QUIET_MS);
  };
  const source = new EventSource(url);
  // A page that fell behind is told `everything`.
  for (const topic of [...topics, "everything"]) source.addEventListener(topic, news);
  // After a lost connection anything may have happened.
  let opened = false;
  source.addEventListener("open", () => { if (opened) news(); opened = true; });
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden && missed) { missed = false; news(); }
  });
  addEventListener("pagehide", () => source.close());
}

async function refresh() {
  const answer = await fetch(location.href, { headers: { accept: "text/html" } }).catch(() => null);
  if (!answer || !answer.ok) return;
  const next = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const region of document.querySelectorAll("[data-region]")) {
    const wanted = next.querySelector(`[data-region="${region.dataset.region}"]`);
    if (wanted) patch(region, wanted);
  }
  followLog();
}

function patch(region, wanted) {
  for (const list of region.querySelectorAll("[data-list]")) {
    const other = wanted.querySelector(`[data-list="${list.dataset.list}"]`);
    if (other && list.matches(":hover, :focus-within")) hold(list, other);
  }
  morph(region, wanted);
}

// Keeps the rows that `list` shows, with their new content, and counts those that are new.
function hold(list, other) {
  const shown = new Set([...list.children].map((row) => row.dataset.key));
  const rows = new Map([...other.children].map((row) => [row.dataset.key, row]));
  const fresh = [...rows.keys()].filter((key) => !shown.has(key)).length;
  if (fresh === 0) return;
  const kept = [...list.children].map((row) => rows.get(row.dataset.key) ?? row.cloneNode(true));
  other.replaceChildren(...kept);
  const note = other.closest("section")?.querySelector("[data-new]");
  if (note) { note.hidden = false; note.textContent = `${fresh} new ↑`; }
}
