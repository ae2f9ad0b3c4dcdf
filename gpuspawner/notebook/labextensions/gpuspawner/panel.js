// The panel above the status bar: the same in full, more time at a click, and the ways to the hub.

import { bar, h } from "./dom.js";
import { clock, duration, gib, percent, units } from "./words.js";

export class Panel {
  // `extend` gives the server so many seconds more, and tells what came of it.
  constructor(Widget, extend) {
    this._extend = extend;
    this._sections = new Map();
    this._said = h("p", { class: "gs-said", role: "status" });
    const inner = h("div", { class: "gs-inner" });
    this._node = h("div", { class: "gs-panel", role: "dialog", "aria-label": "This server", tabindex: "-1" }, inner);
    for (const name of ["title", "time", "more", "hardware", "budget", "notices", "links"]) {
      const section = h("div", { class: `gs-section gs-${name}` });
      this._sections.set(name, { section, shown: "" });
      inner.append(section);
      if (name === "more") {
        inner.append(this._said);
      }
    }
    this.widget = new Widget({ node: this._node });
  }

  focus() {
    this._node.focus({ preventScroll: true });
  }

  show({ server, left, gpus, cpu, budget, notices, trouble, hub }) {
    const title = [server.profile_title, server.workspace_title];
    this._fill("title", title, () => [
      h("h2", {}, title.filter(Boolean).join(", ") || "This server"),
    ]);
    const [first] = server.ends_by;
    const until = clock(first.at, left);
    this._fill("time", [duration(left), until, first.why, trouble], () => [
      h("p", { class: "gs-big" }, `${duration(left)} left`),
      bar(left / server.runtime, `${duration(left)} of ${duration(server.runtime)} left`, timeKind(left)),
      h("p", {}, `Until ${until}: ${first.why}.`),
      trouble && h("p", { class: "gs-trouble" }, `${trouble.reason} ${trouble.remedy}`),
    ]);
    this._fill("more", server.extensions, () => this._moreTime(server.extensions));
    this._fill("hardware", [gpus, cpu === null ? null : cpu.toFixed(1)], () => hardware(gpus, cpu));
    this._fill("budget", budget, () => budget && money(budget));
    this._fill("notices", notices, () => warnings(notices));
    this._fill("links", hub, () => [
      h("a", { href: hub.home, target: "_blank", rel: "noopener" }, "My servers"),
      h("a", { href: hub.usage, target: "_blank", rel: "noopener" }, "My usage"),
    ]);
  }

  // Fills a section anew where what it tells has changed; the keyboard stays where it is.
  _fill(name, told, build) {
    const found = this._sections.get(name);
    const shown = JSON.stringify(told);
    if (found.shown === shown) {
      return;
    }
    found.shown = shown;
    const focused = found.section.contains(document.activeElement);
    const content = (build() || []).filter(Boolean);
    found.section.replaceChildren(...content);
    found.section.hidden = !content.length;
    if (focused) {
      (found.section.querySelector("button, a") ?? this._node).focus();
    }
  }

  _moreTime(extensions) {
    if (!extensions.length) {
      return [h("h3", {}, "More time"), h("p", {}, "It runs for as long as it can; more is not possible.")];
    }
    const buttons = extensions.map(({ by, cost }, index) => {
      const last = index === extensions.length - 1;
      const price = cost ? h("span", { class: "gs-price" }, units(cost, { up: true })) : null;
      const label = `Extend by ${duration(by)}${cost ? `, costs ${units(cost, { up: true })} at most` : ""}`;
      const how = { type: "button", "data-by": by, "aria-label": label, click: () => this._more(by) };
      return h("button", { ...how, title: last ? "The longest that is possible" : undefined }, `+ ${duration(by)}`, price);
    });
    return [h("h3", {}, "More time"), h("div", { class: "gs-steps" }, ...buttons)];
  }

  async _more(by) {
    const buttons = () => this._node.querySelectorAll(".gs-steps button");
    buttons().forEach((button) => button.setAttribute("aria-disabled", "true"));
    if (this._asking) {
      return;
    }
    this._asking = true;
    this._said.classList.remove("gs-failed");
    this._said.textContent = "Asking the hub…";
    const { said, failed } = await this._extend(by);
    this._asking = false;
    buttons().forEach((button) => button.removeAttribute("aria-disabled"));
    this._said.classList.toggle("gs-failed", failed);
    this._said.textContent = said;
  }
}

function timeKind(left) {
  return left < 5 * 60 ? "gs-danger" : left < 30 * 60 ? "gs-warning" : "";
}

function hardware(gpus, cpu) {
  const rows = gpus.map(({ name, used, total, load }) => {
    const memory = `${gib(used)} of ${gib(total)} GiB`;
    const busy = load === null ? "" : `${percent(load)} busy, `;
    return h(
      "div",
      { class: "gs-gpu" },
      h("p", {}, h("span", {}, name), h("span", {}, `${busy}${memory}`)),
      bar(used / total, `${memory} of the GPU's memory in use`),
    );
  });
  if (cpu !== null) {
    const cores = cpu.toLocaleString("en-GB", { maximumFractionDigits: 1 });
    const busy = `${cores} core${cores === "1" ? "" : "s"} busy`;
    rows.push(h("p", {}, h("span", {}, "CPU"), h("span", {}, busy)));
  }
  return rows.length ? [gpus.length ? h("h3", {}, "GPU") : null, ...rows] : [];
}

function money({ left, total, sentence }) {
  return [
    h("h3", {}, "Budget"),
    bar(total ? left / total : 0, `${units(left)} of ${units(total)} left`),
    h("p", {}, sentence),
  ];
}

// Of its end the panel has told already.
function warnings(notices) {
  const lasting = notices.filter(({ level, kind }) => level !== "info" && kind !== "ends-soon");
  return lasting.map(({ sentence, level }) => h("p", { class: `gs-notice gs-${level}` }, sentence));
}
