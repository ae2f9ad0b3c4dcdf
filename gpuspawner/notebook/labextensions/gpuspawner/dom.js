// Elements, built without HTML text, so that no value is ever markup.

const SVG = "http://www.w3.org/2000/svg";

export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") {
      element.addEventListener(name, value);
    } else if (value !== undefined && value !== false) {
      element.setAttribute(name, value === true ? "" : value);
    }
  }
  element.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

// An icon of one path in a square of 16, in the colour of the text.
export function icon(path, name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 16 16");
  svg.setAttribute("aria-hidden", "true");
  svg.setAttribute("class", `gs-icon gs-icon-${name}`);
  const shape = document.createElementNS(SVG, "path");
  shape.setAttribute("d", path);
  svg.append(shape);
  return svg;
}

// How full something is; the words beside it say the same.
export function bar(part, label, kind = "") {
  const filled = h("span", { class: "gs-filled" });
  filled.style.width = `${100 * Math.min(1, Math.max(0, part))}%`;
  return h("span", { class: `gs-bar ${kind}`.trim(), role: "img", "aria-label": label }, filled);
}
