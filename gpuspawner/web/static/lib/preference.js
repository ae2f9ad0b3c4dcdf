// Several GPU classes in order of preference: left out by a checkbox, moved by buttons.

/** The list of classes; `changed` is called when its visitor changes it. */
export function preferenceList(element, changed) {
  const list = element.querySelector("[data-gs-order-list]");
  const said = element.querySelector("[data-gs-order-said]");
  let order = []; // names of all that were ever shown, in the visitor's order
  const left = new Set(); // names that will not do
  let shown = [];

  list.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (button) {
      move(button.closest("li").dataset.gsValue, button.dataset.gsMove);
    }
  });
  list.addEventListener("change", (event) => {
    const name = event.target.closest("li").dataset.gsValue;
    left[event.target.checked ? "delete" : "add"](name);
    render();
    changed();
  });
  return { begin, show, chosen, untouched };

  /** What was chosen before: these classes, in this order, and no others. */
  function begin(names, all) {
    order = [...names];
    all.filter((name) => !names.includes(name)).forEach((name) => left.add(name));
  }

  /** Show these classes, `{ name, title, free, startable, reason }`, in the visitor's order. */
  function show(classes) {
    order.push(...classes.map((one) => one.name).filter((name) => !order.includes(name)));
    shown = order.map((name) => classes.find((one) => one.name === name)).filter(Boolean);
    render();
  }

  /** The names of those that will do, in order. */
  function chosen() {
    return shown.filter((one) => !one.reason && !left.has(one.name)).map((one) => one.name);
  }

  /** Whether the order is that of the configuration and nothing is left out. */
  function untouched(classes) {
    return chosen().join() === classes.filter((one) => !one.reason).map((one) => one.name).join();
  }

  function move(name, where) {
    const names = shown.map((one) => one.name);
    const at = names.indexOf(name);
    const other = names[at + (where === "up" ? -1 : 1)];
    if (other === undefined) {
      return;
    }
    const [one, two] = [order.indexOf(name), order.indexOf(other)];
    [order[one], order[two]] = [other, name];
    shown.sort((first, second) => order.indexOf(first.name) - order.indexOf(second.name));
    render();
    const item = list.querySelector(`[data-gs-value="${CSS.escape(name)}"]`);
    const button = item.querySelector(`[data-gs-move="${where}"]`);
    (button.disabled ? item.querySelector("button:not([disabled])") : button).focus();
    const moved = shown.findIndex((found) => found.name === name);
    said.textContent = `${shown[moved].title} is choice ${moved + 1} of ${shown.length}.`;
    changed();
  }

  function render() {
    const focused = document.activeElement?.closest?.("[data-gs-order-list] li")?.dataset.gsValue;
    const part = document.activeElement?.dataset?.gsMove;
    if (element.hidden) {
      list.replaceChildren();
      delete list.dataset.gsNames;
      return;
    }
    const names = shown.map((one) => one.name).join();
    if (list.dataset.gsNames !== names) {
      list.replaceChildren(...shown.map(item));
      list.dataset.gsNames = names;
    }
    shown.forEach((one, index) => fill(list.children[index], one, index));
    if (focused !== undefined && !list.contains(document.activeElement)) {
      const again = list.querySelector(`[data-gs-value="${CSS.escape(focused)}"]`);
      again?.querySelector(part ? `[data-gs-move="${part}"]` : "input")?.focus();
    }
  }

  function item(one) {
    const element = document.createElement("li");
    element.className = "gs-order-item";
    element.dataset.gsValue = one.name;
    const label = document.createElement("label");
    const box = document.createElement("input");
    box.type = "checkbox";
    box.className = "form-check-input";
    const title = document.createElement("span");
    title.className = "gs-order-name";
    title.textContent = one.title;
    const free = document.createElement("span");
    free.className = "gs-free";
    free.dataset.gsOrderFree = "";
    label.append(box, title, free);
    element.append(label, mover("up", `${one.title} earlier`), mover("down", `${one.title} later`));
    return element;
  }

  function mover(where, label) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "btn btn-sm btn-outline-contrast";
    button.dataset.gsMove = where;
    button.setAttribute("aria-label", label);
    const icon = document.createElement("i");
    icon.className = `fa fa-arrow-${where}`;
    icon.setAttribute("aria-hidden", "true");
    button.append(icon);
    return button;
  }

  function fill(element, one, index) {
    const box = element.querySelector("input");
    box.checked = !one.reason && !left.has(one.name);
    box.disabled = Boolean(one.reason) || (box.checked && chosen().length === 1);
    element.classList.toggle("gs-off", Boolean(one.reason));
    const free = element.querySelector("[data-gs-order-free]");
    free.textContent = one.reason || one.free || "";
    free.hidden = !free.textContent;
    free.classList.toggle("gs-taken", !one.startable);
    element.querySelector("[data-gs-move=up]").disabled = index === 0;
    element.querySelector("[data-gs-move=down]").disabled = index === shown.length - 1;
  }
}
