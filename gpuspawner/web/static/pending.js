// The page of a launch under way: its sentences as they come, the time it takes, and a way to cancel it.

function start(root) {
  const find = (selector) => root.querySelector(selector);
  const { progressUrl, serverUrl, homeUrl, xsrf, started } = root.dataset;
  const began = Date.parse(started) || Date.now();
  const bar = find("#progress-bar");
  const message = find("#progress-message");
  const cancel = find("#stop-server-btn");
  const status = find("#stop-server-status");
  const said = new Set();

  const clock = setInterval(tick, 1000);
  tick();

  const source = new EventSource(progressUrl);
  source.onmessage = (event) => tell(JSON.parse(event.data));
  source.onerror = () => {
    // The browser comes back by itself while the stream is CONNECTING; CLOSED means that the hub has refused.
    if (source.readyState === EventSource.CLOSED && !cancel.disabled) {
      message.textContent = "The connection to the hub was lost. Trying again.";
      setTimeout(() => window.location.reload(), 3000);
    }
  };
  cancel.addEventListener("click", stop);

  function tell(event) {
    if (event.progress !== undefined) {
      bar.style.width = `${event.progress}%`;
      bar.setAttribute("aria-valuenow", String(event.progress));
      find("#sr-progress").textContent = `${event.progress}%`;
    }
    if (event.failed) {
      fail(event);
    } else if (event.ready) {
      source.close();
      message.textContent = "Your server is ready.";
      window.location.reload(); // JupyterHub answers with a redirect to the server
    } else if (event.message) {
      message.textContent = event.message;
      log(event);
    }
  }

  function log({ message: sentence, raw }) {
    const key = JSON.stringify([sentence, raw]);
    if (said.has(key)) {
      return; // a stream that came back begins again from the first sentence
    }
    said.add(key);
    const entry = document.createElement("li");
    entry.className = "progress-log-event";
    entry.append(part("span", "gs-log-time", elapsed()), part("span", "gs-log-text", sentence));
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
    document.title = find("[data-gs-heading]").textContent = "Your server did not start";
    const failure = find("#gs-failure");
    if (event.html_message) {
      failure.innerHTML = event.html_message; // the hub's own piece of a page, in which every value is escaped
    } else {
      failure.textContent = event.message;
    }
    failure.hidden = false;
    for (const gone of [find(".gs-now"), cancel, find("[data-gs-hint]")]) {
      gone.hidden = true;
    }
    for (const shown of [find("[data-gs-again]"), find("[data-gs-home]")]) {
      shown.hidden = false;
    }
  }

  async function stop() {
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
    find("[data-gs-elapsed]").textContent = elapsed();
  }

  function elapsed() {
    const seconds = Math.max(0, Math.floor((Date.now() - began) / 1000));
    const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60];
    const padded = (number) => String(number).padStart(2, "0");
    return hours ? `${hours}:${padded(minutes)}:${padded(seconds % 60)}` : `${minutes}:${padded(seconds % 60)}`;
  }
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
