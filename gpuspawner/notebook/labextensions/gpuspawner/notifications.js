// What the hub tells of this server, as JupyterLab's own notifications, by its commands.

import { duration, units } from "./words.js";

const TYPES = { info: "info", warning: "warning", danger: "error" };
const SEEN = "gpuspawner:seen";
const KEPT = 100;
const HOUR = 3600;
const BRIEFLY = 8000;
const SILENT = 0;

export function notifier(commands, { show, extend }) {
  const shown = new Map();

  return {
    // Notices that are new, and away with those that no longer hold. Who has extended it here was told so here.
    show: ({ notices: all, server }) => {
      const notices = all.filter(({ kind, data }) => kind !== "extended" || data.by !== server.user);
      const standing = new Set(notices.map(({ id }) => id));
      for (const [id, notification] of shown) {
        if (!standing.has(id)) {
          shown.delete(id);
          void notification.then((found) => commands.execute("apputils:dismiss-notification", { id: found }));
        }
      }
      notices.filter(({ id }) => !shown.has(id)).forEach((notice) => shown.set(notice.id, tell(notice, server)));
    },
    say: (message, type) => commands.execute("apputils:notify", { message, type, options: { autoClose: BRIEFLY } }),
  };

  // One that was told before, on another page or before a reload, waits among the others without being said again.
  function tell({ id, level, sentence, kind }, server) {
    const seen = remembered();
    const news = !seen.includes(id);
    if (news) {
      remember([...seen, id].slice(-KEPT));
    }
    const lasting = level === "info" ? BRIEFLY : false;
    const options = { autoClose: news ? lasting : SILENT, actions: actions(kind, server) };
    return commands.execute("apputils:notify", { message: sentence, type: TYPES[level] ?? "info", options });
  }

  function actions(kind, server) {
    const details = { label: "Details", commandId: show, caption: "Time left, GPU and budget" };
    const steps = kind === "ends-soon" && server.ends_by[0].cause === "runtime" ? server.extensions : [];
    const step = steps.findLast(({ by }) => by <= HOUR) ?? steps[0];
    if (!step) {
      return [details];
    }
    const price = step.cost ? ` (${units(step.cost, { up: true })})` : "";
    const label = `Extend by ${duration(step.by)}${price}`;
    return [{ label, commandId: extend, args: { by: step.by }, caption: "Give this server more time" }, details];
  }
}

function remembered() {
  try {
    return JSON.parse(localStorage.getItem(SEEN)) ?? [];
  } catch {
    return [];
  }
}

function remember(ids) {
  try {
    localStorage.setItem(SEEN, JSON.stringify(ids));
  } catch {
    // A browser that keeps nothing says it again.
  }
}
