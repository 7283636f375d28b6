// Writing down what changed and nothing else, so that focus, selection and scroll position stay where they are.
// Text is only ever set as text, never as markup.

export const at = (id) => document.getElementById(id);

export function make(name, className, ...children) {
  const element = document.createElement(name);
  if (className) element.className = className;
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

export function write(element, text) {
  if (element.textContent !== String(text)) element.textContent = text;
}

export function mark(element, className) {
  if (element.className !== className) element.className = className;
}

// Children of `parent`, one for each item in this order. Those of known keys stay the elements that they were.
export function keep(parent, items, key, build, fill) {
  const names = items.map((item) => String(key(item)));
  const wanted = new Set(names), known = new Map();
  for (const child of [...parent.children]) {
    if (wanted.has(child.dataset.key)) known.set(child.dataset.key, child);
    else child.remove();
  }
  let place = parent.firstElementChild;
  items.forEach((item, index) => {
    const name = names[index];
    let element = known.get(name);
    if (!element) {
      element = build(item);
      element.dataset.key = name;
    }
    fill?.(element, item);
    if (element === place) place = place.nextElementSibling;
    else parent.insertBefore(element, place);
  });
}

// Pairs of words as <dt> and <dd>, written over the ones that are there.
export function keepPairs(list, pairs) {
  keep(list, pairs.flatMap(([name, value]) => [["dt", name, name], ["dd", name, value]]), ([kind, name]) => `${kind} ${name}`,
    ([kind]) => make(kind), (element, [, , text]) => write(element, text));
}
