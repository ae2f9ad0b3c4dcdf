// The plugin: asks the server how long it runs, shows that in the status bar, and warns in time.

import { Item } from "./item.js";
import { notifier } from "./notifications.js";
import { Panel } from "./panel.js";
import { duration } from "./words.js";

const EVERY = 15_000;
const SHOW = "gpuspawner:show";
const EXTEND = "gpuspawner:extend";

export default async function plugin(load) {
  const names = ["statusbar", "apputils", "services"].map((name) => `@jupyterlab/${name}`);
  const packages = [...names, "@lumino/widgets", "@lumino/polling"].map(load);
  const [statusbar, apputils, services, widgets, polling] = await Promise.all(packages);
  return {
    id: "gpuspawner:status",
    description: "Time left, GPU and budget of this server, and warnings before it ends.",
    autoStart: true,
    optional: [statusbar?.IStatusBar, apputils?.ICommandPalette].filter(Boolean),
    activate: (app, statusBar, palette) =>
      activate(app, { statusBar, palette, showPopup: statusbar?.showPopup, services, widgets, polling }),
  };
}

function activate(app, { statusBar, palette, showPopup, services, widgets, polling }) {
  const { ServerConnection } = services;
  const settings = app.serviceManager.serverSettings;
  const notify = notifier(app.commands, { show: SHOW, extend: EXTEND });
  let status = null;
  let item = null;
  let panel = null;
  let popup = null;

  const poll = new polling.Poll({
    name: "gpuspawner:status",
    factory: refresh,
    frequency: { interval: EVERY, backoff: true, max: 20 * EVERY },
    standby: "when-hidden",
  });
  document.addEventListener("visibilitychange", () => document.hidden || poll.isDisposed || poll.refresh());

  const known = () => Boolean(status?.server);
  app.commands.addCommand(SHOW, {
    label: "Show time left, GPU and budget",
    caption: "How long this server runs, and more time for it",
    isVisible: known,
    isEnabled: known,
    execute: open,
  });
  app.commands.addCommand(EXTEND, {
    label: (args) => (args.by ? `Extend this server by ${duration(args.by)}` : "Extend this server by an hour"),
    caption: "By less where less is possible",
    isVisible: known,
    isEnabled: known,
    execute: async ({ by }) => {
      const { said, failed } = await extend(by);
      notify.say(said, failed ? "error" : "success");
    },
  });
  for (const command of [SHOW, EXTEND]) {
    palette?.addItem({ command, category: "GPU server" });
  }

  // No answer of ours: a server without the extension. No hub: nothing that ends this server.
  async function refresh() {
    const response = await ask("status");
    const found = response.ok ? await response.json() : null;
    if (response.status === 404 || (found && !found.hub)) {
      poll.dispose();
      return;
    }
    if (!found) {
      throw new Error(`gpuspawner/status: ${response.status}`);
    }
    take(found);
  }

  function ask(path, init = {}) {
    return ServerConnection.makeRequest(`${settings.baseUrl}gpuspawner/${path}`, init, settings);
  }

  // What came of it, in words.
  async function extend(by) {
    try {
      const response = await ask("extend", { method: "POST", body: JSON.stringify(by ? { by } : {}) });
      const found = await response.json();
      if (!response.ok) {
        const { reason, remedy, message } = found;
        return { said: `Not extended. ${reason ? `${reason} ${remedy}`.trim() : message}`, failed: true };
      }
      take(found);
      return { said: `Your server now runs until ${found.server.ends.slice(11, 16)}.`, failed: false };
    } catch {
      return { said: "Not extended. Your server does not answer; try again in a minute.", failed: true };
    }
  }

  function take(found) {
    status = { ...found, at: Date.now() };
    notify.show(known() ? status : { ...status, notices: [] });
    show();
  }

  function show() {
    if (known() && !item) {
      item = addItem();
    }
    if (!item) {
      return;
    }
    item.widget.setHidden(!known());
    if (known()) {
      const left = Math.max(0, status.server.left - (Date.now() - status.at) / 1000);
      item.show({ ...status, left });
      panel?.show({ ...status, left });
    } else {
      popup?.dispose();
    }
  }

  function addItem() {
    addStyle();
    setInterval(() => document.hidden || show(), 10_000);
    const made = new Item(widgets.Widget, toggle);
    if (statusBar) {
      statusBar.registerStatusItem("gpuspawner:status", { item: made.widget, align: "left", rank: 100, priority: 1 });
    } else {
      // Notebook 7 has no status bar: a corner of the page, as JupyterLab does with its own items there.
      made.widget.addClass("gs-in-corner");
      made.widget.addClass("jp-ThemedContainer");
      widgets.Widget.attach(made.widget, document.body);
    }
    return made;
  }

  function toggle() {
    if (popup) {
      popup.dispose();
    } else {
      open();
    }
  }

  function open() {
    if (popup || !item || !showPopup) {
      return;
    }
    panel = new Panel(widgets.Widget, extend);
    show();
    popup = showPopup({ body: panel.widget, anchor: item.widget, align: "left", hasDynamicSize: true });
    item.opened(true);
    panel.focus();
    popup.disposed.connect(() => {
      const inside = document.activeElement === document.body || panel.widget.node.contains(document.activeElement);
      popup = panel = null;
      item.opened(false);
      if (inside) {
        item.focus();
      }
    });
    void poll.refresh();
  }
}

function addStyle() {
  const link = document.createElement("link");
  link.rel = "stylesheet";
  link.href = new URL("style.css", import.meta.url);
  document.head.append(link);
}

