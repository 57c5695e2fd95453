// What the page is built with. Text from outside gets in as text, and in no other way.

const $ = (id) => document.getElementById(id);

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) if (value !== undefined) node.setAttribute(name, value);
  node.append(...children);
  return node;
}
const el = (tag, attributes = {}, ...children) => fill(document.createElement(tag), attributes, children);
const svg = (tag, attributes = {}, ...children) => fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);

// text changes nothing that is as it should be: no redrawing, and no screen reader that reads it again.
function text(node, value) {
  if (node.textContent !== value) node.textContent = value;
}

function mark(node, name, value) {
  if (value === null) node.removeAttribute(name);
  else if (node.getAttribute(name) !== value) node.setAttribute(name, value);
}

// keyed makes the children of node those of the list, in its order. What is there already stays, with its focus.
function keyed(node, list, keyOf, make, update) {
  const had = node.keys || new Map();
  const has = new Map();
  let at = node.firstChild;
  for (const item of list) {
    const key = keyOf(item);
    let child = had.get(key);
    if (!child) child = make(item);
    has.set(key, child);
    update(child, item);
    if (child === at) at = at.nextSibling;
    else node.insertBefore(child, at);
  }
  for (const [key, child] of had) if (!has.has(key)) child.remove();
  node.keys = has;
}

const facts = (pairs) => el("dl", {}, ...pairs.filter(([, value]) => value !== undefined && value !== "").flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, String(value))]));
