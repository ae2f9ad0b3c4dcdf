// The launch form: shows what fits the chosen workspace and profile, keeps sliders, numbers and summary in step, and
// follows what is free. Whatever is posted is checked by the hub again.

import { amountRow } from "./lib/amounts.js";
import { bill } from "./lib/bill.js";
import { renew } from "./lib/now.js";
import { preferenceList } from "./lib/preference.js";
import { cost as price, count, duration, left, number, units } from "./lib/words.js";

const AMOUNTS = ["gpus", "cpu", "memory", "runtime", "wait"];
const ANY = "any";
const NO_GPU = "none";

function start(root, data) {
  const form = root.closest("form");
  const chosen = new Map(); // per profile: what this visitor has chosen there
  const { profile, gpuClass, order, amounts } = data.first;
  chosen.set(profile, { gpuClass, ...mapValues(amounts, Number) });

  const rows = Object.fromEntries(
    AMOUNTS.map((key) => [key, root.querySelector(`[data-gs-amount="${key}"]`)])
      .filter(([, element]) => element)
      .map(([key, element]) => [key, amountRow(element, key, data.memoryUnit, (value) => choose(key, value))]),
  );
  const preference = root.querySelector("[data-gs-order]");
  const preferred = preference && preferenceList(preference, summarise);
  if (order.length) {
    const all = data.offers.flatMap((offer) => offer.profiles).flatMap((one) => one.gpuClasses.map(({ name }) => name));
    preferred.begin(order, [...new Set(all)]);
  }
  const slot = form.querySelector("[data-gs-summary-slot]");
  if (slot) {
    slot.append(root.querySelector("[data-gs-summary]"));
  }

  root.addEventListener("change", (event) => {
    if (event.target.name === "gpu_class") {
      choose("gpuClass", event.target.value);
    }
    if (event.target.type === "radio") {
      update();
    }
  });
  form.addEventListener("formdata", ({ formData }) => {
    const classes = classesInOrder();
    if (classes) {
      formData.delete("gpu_class");
      classes.forEach((name) => formData.append("gpu_class", name));
    }
  });
  form.addEventListener("submit", (event) => busy(event.submitter));
  window.addEventListener("pageshow", (event) => event.persisted && window.location.reload());
  offerLink();
  update();
  return { hear };

  // News of what is free. What the visitor has chosen stays chosen, also where it cannot be had any more.
  function hear(news) {
    renew(data.offers, news);
    update({ live: true });
  }

  function choose(key, value) {
    const name = picked("profile");
    chosen.set(name, { ...chosen.get(name), [key]: value });
    summarise();
  }

  function picked(field) {
    return root.querySelector(`input[name="${field}"]:checked`)?.value;
  }

  function current() {
    const workspace = data.offers.find((offer) => offer.name === picked("workspace"));
    const profile = workspace?.profiles.find((offer) => offer.name === picked("profile"));
    const gpuClass = picked("gpu_class");
    return { workspace, profile, gpuClass };
  }

  function update({ live = false } = {}) {
    const { workspace } = current();
    showCards("profile", workspace.profiles, { live });
    const { profile } = current();
    showGpus(profile, live);
    if (!live) {
      for (const key of ["cpu", "memory", "runtime", "wait"]) {
        rows[key].show(profile[key], chosen.get(profile.name)?.[key]);
      }
      showImage(profile);
    }
    summarise();
  }

  function showImage(profile) {
    const section = root.querySelector("[data-gs-image]");
    if (!section) {
      return;
    }
    section.hidden = section.disabled = !profile.images;
    section.querySelector("input").placeholder = profile.image;
    fill(section.querySelector("[data-gs-image-why]"), profile.images);
  }

  function showGpus(profile, live) {
    const section = root.querySelector("[data-gs-gpus]");
    if (!section) {
      return;
    }
    section.hidden = section.disabled = !profile.gpuClasses.length;
    if (section.hidden) {
      return;
    }
    const possible = profile.gpuClasses.filter((offer) => !offer.reason);
    const choices = [...profile.gpuClasses];
    if (possible.length > 1 || (live && picked("gpu_class") === ANY)) {
      choices.push({ name: ANY });
    }
    if (profile.leastGpus === 0) {
      choices.push({ name: NO_GPU });
    }
    showCards("gpu_class", choices, { live, preferred: [chosen.get(profile.name)?.gpuClass, profile.gpuClass || NO_GPU] });
    preference.hidden = picked("gpu_class") !== ANY;
    preferred.show(profile.gpuClasses);
    const bounds = gpuBounds(profile, picked("gpu_class"));
    const text = JSON.stringify([profile.name, bounds]);
    if (!live || section.dataset.gsBounds !== text) {
      rows.gpus.show(bounds, chosen.get(profile.name)?.gpus, { hidden: !bounds || bounds.max === 1 });
    }
    section.dataset.gsBounds = text;
  }

  // Shows the cards of these choices, in their order, and picks the first preferred one that can be had.
  function showCards(field, choices, { live = false, preferred = [] } = {}) {
    const cards = new Map([...root.querySelectorAll(`[data-gs-card="${field}"]`)].map((card) => [card.dataset.gsValue, card]));
    const shown = choices.map((choice) => cards.get(choice.name));
    cards.forEach((card) => (card.hidden = !shown.includes(card)));
    if ([...cards.values()].filter((card) => !card.hidden).some((card, index) => card !== shown[index])) {
      shown[0].parentElement.append(...shown);
    }
    choices.forEach((choice, index) => fillCard(shown[index], choice, live));
    if (live && shown.some((card) => card.querySelector("input").checked)) {
      return;
    }
    const open = shown.map((card) => card.querySelector("input")).filter((input) => !input.disabled);
    const wanted = preferred.length ? preferred : [picked(field)];
    const best = wanted.map((value) => open.find((input) => input.value === value)).find(Boolean) ?? open[0];
    const radios = [...cards.values()].map((card) => card.querySelector("input"));
    const fallback = best ?? shown[0].querySelector("input");
    radios.forEach((input) => (input.checked = input === fallback));
  }

  function fillCard(card, choice, live) {
    const off = Boolean(choice.reason);
    const input = card.querySelector("input");
    card.classList.toggle("gs-off", off);
    input.disabled = off && !(live && input.checked);
    fill(card.querySelector("[data-gs-reason]"), choice.reason);
    fill(card.querySelector("[data-gs-held]"), off ? "" : choice.held);
    const free = card.querySelector("[data-gs-free]");
    fill(free, choice.free);
    free?.classList.toggle("gs-taken", !choice.startable);
  }

  function summarise() {
    const { workspace, profile, gpuClass } = current();
    const cost = costOf(workspace, profile, gpuClass);
    const gone = profile.gpuClasses.find((offer) => offer.name === gpuClass)?.reason;
    const none = gpuClass === ANY && !willDo(profile, gpuClass).length ? "None of these GPUs can be had now." : "";
    const off = workspace.reason || profile.reason || gone || none;
    const reason = off || cost.refusal;
    const box = form.querySelector("[data-gs-summary]");
    box.hidden = false;
    box.classList.toggle("gs-summary-off", Boolean(reason));
    fill(box.querySelector("[data-gs-summary-text]"), off || sentence(profile, gpuClass));
    fill(box.querySelector("[data-gs-summary-cost]"), off ? "" : cost.refusal || cost.text);
    fill(box.querySelector("[data-gs-summary-note]"), reason ? "" : waiting(profile, gpuClass));
    showBudget(box, off ? undefined : data.costs.workspaces[workspace.name], cost);
    form.querySelectorAll("[type=submit]").forEach((button) => (button.disabled = Boolean(reason)));
  }

  function showBudget(box, budget, { cost = 0, refusal }) {
    const [bar, after] = ["bar", "after"].map((part) => box.querySelector(`[data-gs-summary-${part}]`));
    bar.toggleAttribute("hidden", !budget?.total);
    const spent = budget?.total > budget?.left ? `${units(budget.total - budget.left)} used or held, ` : "";
    const then = budget && `${spent}${price(cost)} for this launch, ${units(budget.left - cost)} left then.`;
    fill(after, cost && !refusal ? then : "");
    if (budget?.total) {
      const [used, held] = bar.querySelectorAll(".gs-bar-used, .gs-bar-held");
      const before = 100 * (1 - budget.left / budget.total);
      used.setAttribute("width", before.toFixed(2));
      held.setAttribute("x", before.toFixed(2));
      held.setAttribute("width", Math.min(100 - before, (100 * cost) / budget.total).toFixed(2));
    }
  }

  function sentence(profile, gpuClass) {
    const gpus = gpuCount(profile, gpuClass);
    const several = willDo(profile, gpuClass);
    const any = preferred?.untouched(profile.gpuClasses) ? "any class" : several.map((offer) => offer.title).join(" or ");
    const title = gpuClass === ANY ? any : several[0]?.title;
    const cores = rows.cpu.value();
    const parts = [
      `${profile.title} ${gpus ? `on ${count(gpus, "GPU")} (${title})` : "without a GPU"}`,
      `${number(cores)} CPU core${cores === 1 ? "" : "s"}`,
      `${number(rows.memory.value())} ${data.memoryUnit}`,
    ];
    return `${parts.join(", ")}, for ${duration(rows.runtime.value())}.`;
  }

  // What the choice costs at most where a budget pays, or why that does not cover it.
  function costOf(workspace, profile, gpuClass) {
    const budget = data.costs.workspaces[workspace.name];
    if (!budget) {
      return {};
    }
    const gpus = gpuCount(profile, gpuClass);
    const hourly = gpus
      ? willDo(profile, gpuClass).map((offer) => data.costs.rates[offer.name] * gpus)
      : [data.costs.cpuRate * rows.cpu.value()];
    return bill(hourly, rows.runtime.value(), profile.runtime.min, budget, data.costs.steps);
  }

  // Whether the launch has to wait, and for how long.
  function waiting(profile, gpuClass) {
    const gpus = gpuCount(profile, gpuClass);
    const offers = willDo(profile, gpuClass).filter((offer) => offer.freeTogether !== null);
    const most = Math.max(...offers.map((offer) => offer.freeTogether));
    if (!gpus || !offers.length || most >= gpus) {
      return "";
    }
    const enough = gpus === 1 ? "one is" : `${gpus} are`;
    if (most) {
      const there = `At most ${most} of these GPUs ${most === 1 ? "is" : "are"} free on one machine now`;
      return `${there}: your server waits until ${enough}.`;
    }
    const soonest = offers.filter((offer) => offer.wait).sort((one, other) => one.wait - other.wait)[0];
    const when = soonest ? ` That is about ${left(soonest.wait)} from now.` : "";
    const ahead = soonest?.ahead ? ` ${count(soonest.ahead, "launch is", "launches are")} ahead of yours.` : "";
    return `None of these GPUs is free now: your server waits until ${enough} returned.${when}${ahead}`;
  }

  // The classes that this choice may land on, best first.
  function willDo(profile, gpuClass) {
    const possible = profile.gpuClasses.filter((offer) => !offer.reason);
    if (gpuClass !== ANY) {
      return possible.filter((offer) => offer.name === gpuClass);
    }
    return preferred.chosen().map((name) => possible.find((offer) => offer.name === name)).filter(Boolean);
  }

  // What is posted for "any of these", unless it is all of them in the order of the hub: that is "any".
  function classesInOrder() {
    const { profile, gpuClass } = current();
    const all = gpuClass !== ANY || preferred.untouched(profile.gpuClasses);
    return all ? null : willDo(profile, gpuClass).map((offer) => offer.name);
  }

  function gpuCount(profile, gpuClass) {
    const bounds = gpuBounds(profile, gpuClass);
    if (!bounds) {
      return 0;
    }
    return bounds.max === 1 ? 1 : rows.gpus.value();
  }

  // A link that fills this form in for somebody else: what is as usual is left out.
  function linkToThis() {
    const { workspace, profile, gpuClass } = current();
    const found = new URL(data.spawn, window.location);
    const set = (name, value) => found.searchParams.append(`opt-${name}`, value);
    set("workspace", workspace.name);
    set("profile", profile.name);
    if (gpuClass === NO_GPU && profile.gpuClasses.length) {
      set("gpus", "0");
    } else if (profile.gpuClasses.length) {
      (classesInOrder() ?? [gpuClass]).forEach((name) => set("gpu_class", name));
    }
    const bounds = gpuBounds(profile, gpuClass);
    if (bounds && bounds.max > 1 && rows.gpus.value() !== bounds.default) {
      set("gpus", rows.gpus.value());
    }
    const written = {
      cpu: String,
      memory: (value) => `${value}${data.memoryUnit.replace("B", "")}`,
      runtime: (value) => `${Math.round(value * 60)}m`,
      wait: (value) => `${value}m`,
    };
    for (const [key, write] of Object.entries(written)) {
      const value = rows[key].value();
      if (Number.isFinite(value) && value !== profile[key].default) {
        set(key, write(value));
      }
    }
    const image = root.querySelector("[data-gs-image]:not([hidden]) input")?.value.trim();
    if (image) {
      set("image", image);
    }
    return found.href;
  }

  function offerLink() {
    const box = form.querySelector("[data-gs-link]");
    if (!box) {
      return;
    }
    box.hidden = false;
    box.querySelector("[data-gs-link-copy]").addEventListener("click", async () => {
      const shown = box.querySelector("[data-gs-link-text]");
      const input = shown.querySelector("input");
      input.value = linkToThis();
      shown.hidden = false;
      input.select();
      const done = await navigator.clipboard?.writeText(input.value).then(() => true, () => false);
      const fills = "Whoever opens it finds this form filled in like this.";
      shown.querySelector("[data-gs-link-said]").textContent = `${done ? "Copied." : "Copy this link."} ${fills}`;
    });
  }
}

// What may be asked for in a GPU class, in any of them, or nothing.
function gpuBounds(profile, gpuClass) {
  if (!profile.gpuClasses.length || !gpuClass || gpuClass === NO_GPU) {
    return null;
  }
  if (gpuClass === ANY) {
    return { ...profile.gpus, min: Math.max(1, profile.gpus.min), default: Math.max(1, profile.gpus.default) };
  }
  return profile.gpuClasses.find((offer) => offer.name === gpuClass)?.gpus ?? null;
}

function fill(element, text) {
  if (element && element.textContent !== (text ?? "")) {
    element.textContent = text ?? "";
  }
  if (element) {
    element.hidden = !text;
  }
}

function busy(button) {
  if (button) {
    // After the browser has taken the form, so that the button still counts as its submitter.
    setTimeout(() => {
      button.disabled = true;
      button.textContent = "Starting…";
    });
  }
}

function mapValues(object, convert) {
  return Object.fromEntries(Object.entries(object).map(([key, value]) => [key, convert(value)]));
}

const root = document.getElementById("gs-form");
if (root) {
  const { hear } = start(root, JSON.parse(document.getElementById("gs-data").textContent));
  if (document.getElementById("gs-hub")) {
    const { listen } = await import("./lib/stream.js");
    listen("availability", { message: hear });
  }
}
