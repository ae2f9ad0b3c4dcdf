// The item in the status bar: time left, GPU, budget. A button that opens the panel.

import { h, icon } from "./dom.js";
import { clock, duration, gib, percent, units } from "./words.js";

const CLOCK = "M8 1a7 7 0 1 0 0 14A7 7 0 0 0 8 1Zm0 1.5a5.5 5.5 0 1 1 0 11 5.5 5.5 0 0 1 0-11ZM7.25 4v4.3l3 3 1.06-1.06L8.75 7.7V4Z";
const WARNING = "M8 1.2 15.4 14.5H.6ZM7.25 6v4.2h1.5V6Zm0 5.4v1.5h1.5v-1.5Z";
const SOON = 30 * 60;
const VERY_SOON = 5 * 60;

export class Item {
  constructor(Widget, toggle) {
    const pressed = (event) => {
      if (event.key === "Enter" || event.key === " ") {
        event.preventDefault();
        toggle();
      }
    };
    const role = { role: "button", tabindex: "0", "aria-haspopup": "dialog", "aria-expanded": "false" };
    const node = h("div", { class: "gs-item", ...role, click: toggle, keydown: pressed });
    this.widget = new Widget({ node });
    this.widget.id = "gpuspawner-status";
    this.widget.addClass("jp-mod-highlighted");
    this._node = node;
    this._shown = "";
  }

  show({ server, left, gpus, budget }) {
    const time = left < 60 ? "ends now" : duration(left);
    const gpu = gpus.length ? gpuInShort(gpus) : null;
    const money = budget ? units(budget.left) : null;
    const shown = JSON.stringify([time, gpu, money]);
    if (shown === this._shown) {
      return;
    }
    this._shown = shown;
    const soon = left < SOON;
    this._node.classList.toggle("gs-soon", soon);
    this._node.classList.toggle("gs-very-soon", left < VERY_SOON);
    this._node.replaceChildren(
      h("span", { class: "gs-part gs-time" }, soon ? icon(WARNING, "warning") : icon(CLOCK, "clock"), time),
      ...(gpu ? [h("span", { class: "gs-part" }, gpu)] : []),
      ...(money ? [h("span", { class: "gs-part" }, money)] : []),
    );
    const words = [
      left < 60 ? "Your server ends now" : `Your server runs for another ${time}, until ${clock(server.ends_by[0].at, left)}`,
      ...(gpu ? [gpu] : []),
      ...(money ? [`${money} left of the budget`] : []),
    ];
    this._node.setAttribute("aria-label", `${words.join(". ")}. Details and more time`);
    this._node.title = `${words.join("\n")}\nClick for details and more time`;
  }

  opened(open) {
    this._node.setAttribute("aria-expanded", String(open));
  }

  focus() {
    this._node.focus();
  }
}

// All GPUs of the server together.
function gpuInShort(gpus) {
  const [used, total] = ["used", "total"].map((key) => gpus.reduce((sum, gpu) => sum + gpu[key], 0));
  const loads = gpus.map((gpu) => gpu.load).filter((load) => load !== null);
  const busy = loads.length ? ` ${percent(loads.reduce((sum, load) => sum + load, 0) / loads.length)},` : "";
  return `${gpus.length === 1 ? "GPU" : `${gpus.length} GPUs`}${busy} ${gib(used)} of ${gib(total)} GiB`;
}
