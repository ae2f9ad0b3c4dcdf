// News of one's servers on any page: what the hub tells while the page is open appears in its corner, and goes when it no
// longer holds.

import { hub } from "./lib/api.js";
import { listen } from "./lib/stream.js";

const corner = document.getElementById("gs-toasts");
const closed = new Set();

listen("notices", { message: tell, withdrawn: ({ id }) => withdraw(id) });

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && corner.contains(document.activeElement)) {
    close(document.activeElement.closest(".gs-toast"));
  }
});

function tell(notice) {
  if (closed.has(notice.id) || [...shown(notice.id)].length) {
    return; // the hub begins with what holds, which the page itself may say already
  }
  const toast = part("div", `gs-toast gs-toast-${notice.level}`);
  toast.dataset.gsNotice = notice.id;
  const words = part("p", "", notice.sentence);
  if (notice.data?.extendable_by) {
    const link = part("a", "alert-link", "Give it more time");
    link.href = `${hub}home#gs-servers`;
    words.append(" ", link);
  }
  const button = part("button", "btn-close");
  button.type = "button";
  button.setAttribute("aria-label", "Close");
  button.addEventListener("click", () => close(toast));
  toast.append(words, button);
  corner.append(toast);
}

function close(toast) {
  const next = toast.nextElementSibling ?? toast.previousElementSibling;
  closed.add(toast.dataset.gsNotice);
  toast.remove();
  (next?.querySelector("button") ?? document.getElementById("main")).focus({ preventScroll: true });
}

function withdraw(id) {
  for (const one of shown(id)) {
    const announcement = one.closest(".announcement");
    one.remove();
    announcement?.toggleAttribute("hidden", !announcement.textContent.trim());
  }
}

function shown(id) {
  return document.querySelectorAll(`[data-gs-notice="${CSS.escape(id)}"]`);
}

function part(tag, className, text = "") {
  const element = document.createElement(tag);
  element.className = className;
  element.textContent = text;
  return element;
}
