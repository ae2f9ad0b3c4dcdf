// The page of a launch under way: its steps and sentences as they come, the time it takes, and a way to cancel it.

import { xsrf } from "./lib/api.js";
import { elapsed } from "./lib/words.js";

const WORDS = { done: "done", now: "now", todo: "still to come", failed: "failed" };

function start(root) {
  const find = (selector) => root.querySelector(selector);
  const { progressUrl, serverUrl, homeUrl, name, started } = root.dataset;
  const began = Date.parse(started) || Date.now();
  const bar = find("#progress-bar");
  const message = find("#progress-message");
  const cancel = find("#stop-server-btn");
  const status = find("#stop-server-status");
  const tellMe = desktopNotice(find("#gs-tell-me"));
  const called = name ? `Your server ${name}` : "Your server";
  const said = new Set();

  const clock = setInterval(tick, 1000);
  tick();
  fill(bar.getAttribute("aria-valuenow"));
  find("#progress-log").replaceChildren(); // the stream tells all of it again

  const source = new EventSource(progressUrl);
  source.onmessage = (event) => tell(JSON.parse(event.data));
  source.onerror = () => {
    // The browser comes back by itself while the stream is CONNECTING; CLOSED means that the hub has refused.
    if (source.readyState === EventSource.CLOSED && !cancel.disabled) {
      message.textContent = "The connection to the hub was lost. Trying again.";
      setTimeout(() => window.location.reload(), 3000);
    }
  };
  find("#gs-cancel").addEventListener("submit", stop);

  function tell(event) {
    if (event.progress !== undefined) {
      fill(event.progress);
    }
    if (event.failed) {
      fail(event);
    } else if (event.ready) {
      source.close();
      message.textContent = "Your server is ready.";
      mark({ ready: "done" }, "done");
      tellMe(`${called} is ready`, "It runs now.");
      window.location.reload(); // JupyterHub answers with a redirect to the server
    } else if (event.message) {
      message.textContent = event.message;
      mark(event.steps ?? {});
      facts(event.facts ?? []);
      log(event);
    }
  }

  function fill(percent) {
    bar.style.width = `${percent}%`;
    bar.setAttribute("aria-valuenow", String(percent));
    find("#sr-progress").textContent = `${percent}%`;
  }

  // The state of each step; `others` is that of those which are not named.
  function mark(states, others) {
    for (const step of root.querySelectorAll("[data-gs-step]")) {
      const state = states[step.dataset.gsStep] ?? others;
      if (state && state !== step.dataset.gsState) {
        step.dataset.gsState = state;
        step.toggleAttribute("aria-current", false);
        if (state === "now") {
          step.setAttribute("aria-current", "step");
        }
        step.querySelector("[data-gs-word]").textContent = WORDS[state];
      }
    }
  }

  function facts(known) {
    find("#gs-facts").replaceChildren(
      ...known.map(({ name: which, label, text }) => {
        const row = part("div", "", "");
        row.dataset.gsFact = which;
        row.append(part("dt", "", label), part("dd", "", text));
        return row;
      }),
    );
  }

  function log({ message: sentence, raw, at }) {
    const key = JSON.stringify([sentence, raw]);
    if (said.has(key)) {
      return; // a stream that came back begins again from the first sentence
    }
    said.add(key);
    const entry = part("li", "progress-log-event", "");
    const first = !at && said.size === 1; // JupyterHub's own, which does not say when
    const time = part("span", "gs-log-time", first ? elapsed(0) : since(Date.parse(at)));
    entry.append(time, part("span", "gs-log-text", sentence));
    if (raw && raw !== sentence) {
      const more = part("details", "gs-log-raw", "");
      more.append(part("summary", "", "What the system said"), part("code", "", raw));
      entry.lastChild.append(more);
    }
    find("#progress-log").append(entry);
  }

  function fail(event) {
    source.close();
    clearInterval(clock);
    bar.classList.add("bg-danger");
    const now = find("[data-gs-state=now]");
    mark(now ? { [now.dataset.gsStep]: "failed" } : {});
    document.title = find("[data-gs-heading]").textContent = "Your server did not start";
    const failure = find("#gs-failure");
    if (event.html_message) {
      failure.innerHTML = event.html_message; // the hub's own piece of a page, in which every value is escaped
    } else {
      failure.textContent = event.message;
    }
    failure.hidden = false;
    for (const gone of [".gs-now", "#gs-facts", "#gs-tell-me", "[data-gs-hint]"].map(find)) {
      gone.hidden = true;
    }
    cancel.hidden = true;
    const again = find("[data-gs-again]");
    again.hidden = find("[data-gs-home]").hidden = false;
    if (!failure.querySelector("button")) {
      again.classList.replace("btn-outline-contrast", "btn-primary");
    }
    tellMe(`${called} did not start`, failure.querySelector(".gs-refusal-reason")?.textContent ?? "");
  }

  async function stop(event) {
    event.preventDefault();
    cancel.disabled = true;
    status.textContent = "Cancelling…";
    try {
      const answer = await fetch(serverUrl, { method: "DELETE", headers: { "X-XSRFToken": xsrf } });
      if (!answer.ok) {
        throw new Error(await reasonOf(answer));
      }
      window.location.assign(homeUrl);
    } catch (error) {
      status.textContent = `Not cancelled: ${error.message}`;
      cancel.disabled = false;
    }
  }

  function tick() {
    find("[data-gs-elapsed]").textContent = since();
  }

  function since(at) {
    return elapsed(((Number.isNaN(at ?? NaN) ? Date.now() : at) - began) / 1000);
  }
}

// The browser's own notifications, asked for only when somebody wants one: `button` asks, and what is returned shows one
// to whoever looks elsewhere by then.
function desktopNotice(button) {
  if (!("Notification" in window) || Notification.permission === "denied") {
    return () => {};
  }
  const label = button.querySelector("[data-gs-label]");
  let wanted = false;
  button.hidden = false;
  button.addEventListener("click", async () => {
    wanted = !wanted && (await Notification.requestPermission()) === "granted";
    button.setAttribute("aria-pressed", String(wanted));
    label.textContent = wanted ? "You will be told when it is ready" : "Tell me when it is ready";
    if (!wanted && Notification.permission === "denied") {
      button.disabled = true;
      label.textContent = "Your browser does not allow notifications of this page";
    }
  });
  return (title, body) => {
    if (wanted) {
      const notice = new Notification(title, { body, tag: "gs-launch" });
      notice.onclick = () => window.focus();
    }
  };
}

async function reasonOf(answer) {
  try {
    return (await answer.json()).message;
  } catch {
    return `the hub answered ${answer.status}. Reload this page and try again.`;
  }
}

function part(tag, className, text) {
  const element = document.createElement(tag);
  element.className = className;
  element.textContent = text;
  return element;
}

const root = document.getElementById("gs-pending");
if (root) {
  start(root);
}
window._jupyterhub_page_loaded = true; // as on JupyterHub's own page
