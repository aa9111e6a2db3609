// Makes one tree look like another by changing as little as possible, so that scroll, focus,
// selection and open disclosures survive a live update.

// Attributes that belong to the reader, not to the server.
const KEPT = new Set(["open"]);

export function morph(from, to) {
  if (from.nodeType !== to.nodeType || from.nodeName !== to.nodeName) {
    from.replaceWith(to.cloneNode(true));
    return;
  }
  if (from.nodeType !== Node.ELEMENT_NODE) {
    if (from.nodeValue !== to.nodeValue) from.nodeValue = to.nodeValue;
    return;
  }
  // What a script fills stays as it is for as long as it is about the same thing.
  if (from.hasAttribute("data-own")) {
    if (from.dataset.own !== to.dataset.own) from.replaceWith(to.cloneNode(true));
    return;
  }
  if (from === document.activeElement && from.matches("input, textarea, select")) return;
  attributes(from, to);
  children(from, to);
}

function attributes(from, to) {
  for (const { name, value } of to.attributes) {
    if (!KEPT.has(name) && from.getAttribute(name) !== value) from.setAttribute(name, value);
  }
  for (const { name } of [...from.attributes]) {
    if (!KEPT.has(name) && !to.hasAttribute(name)) from.removeAttribute(name);
  }
}

function children(from, to) {
  const keyed = new Map();
  for (const child of from.children) {
    if (child.dataset?.key) keyed.set(child.dataset.key, child);
  }
  let here = from.firstChild;
  for (const wanted of to.childNodes) {
    const known = wanted.dataset?.key && keyed.get(wanted.dataset.key);
    if (known) {
      if (known === here) here = here.nextSibling;
      else from.insertBefore(known, here);
      morph(known, wanted);
    } else if (here && !here.dataset?.key && !wanted.dataset?.key) {
      const next = here.nextSibling;
      morph(here, wanted);
      here = next;
    } else {
      from.insertBefore(wanted.cloneNode(true), here);
    }
  }
  while (here) {
    const next = here.nextSibling;
    here.remove();
    here = next;
  }
}
