// Follows the end of a log: fetches what was appended since, keeps the last lines, and stays at
// the end only while the reader is there.
const LINES_MAX = 300;
const EVERY_MS = 700;

let followed = null;

// A live update may put another log into the page; calling this again follows that one instead.
export function followLog() {
  const log = document.querySelector("[data-log]");
  if (!log || log === followed) return;
  followed = log;
  log.scrollTop = log.scrollHeight;
  let offset = Number(log.dataset.offset);
  let partial = log.dataset.partial === "true";
  const decoder = new TextDecoder();
  const again = () => setTimeout(read, EVERY_MS);

  async function read() {
    if (!log.isConnected) return;
    if (document.hidden) return again();
    const answer = await fetch(`${log.dataset.log}?offset=${offset}`).catch(() => null);
    if (answer?.ok) {
      const bytes = await answer.arrayBuffer();
      offset += bytes.byteLength;
      if (bytes.byteLength > 0) append(decoder.decode(bytes, { stream: true }));
      if (bytes.byteLength === 0 && answer.headers.get("millstream-log-done") === "true") return;
    }
    again();
  }

  function append(text) {
    const atEnd = log.scrollTop + log.clientHeight >= log.scrollHeight - 24;
    const lines = text.split("\n");
    if (partial && log.lastElementChild) log.lastElementChild.textContent += lines.shift();
    partial = lines.length === 0 || lines.at(-1) !== "";
    if (!partial) lines.pop();
    for (const line of lines.slice(-LINES_MAX)) {
      const row = document.createElement("span");
      row.className = "line";
      row.textContent = line;
      log.append(row);
    }
    while (log.childElementCount > LINES_MAX) log.firstElementChild.remove();
    if (atEnd) log.scrollTop = log.scrollHeight;
  }

  if (log.dataset.follow === "true") again();
}
