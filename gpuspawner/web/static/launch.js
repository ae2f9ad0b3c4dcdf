// The launch form: shows what fits the chosen workspace and profile, and keeps sliders, numbers and summary in step.
// Whatever is posted is checked by the hub again.

import { cost as units, duration, number } from "./lib/words.js";

const AMOUNTS = ["gpus", "cpu", "memory", "runtime", "wait"];
const ANY = "any";
const NO_GPU = "none";

function start(root, data) {
  const form = root.closest("form");
  const chosen = new Map(); // per profile: what this visitor has chosen there
  const { profile, gpuClass, amounts } = data.first;
  chosen.set(profile, { gpuClass, ...mapValues(amounts, Number) });

  const rows = Object.fromEntries(
    AMOUNTS.map((key) => [key, root.querySelector(`[data-gs-amount="${key}"]`)])
      .filter(([, element]) => element)
      .map(([key, element]) => [key, amountRow(element, key, data.memoryUnit, (value) => choose(key, value))]),
  );
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
  form.addEventListener("submit", (event) => busy(event.submitter));
  window.addEventListener("pageshow", (event) => event.persisted && window.location.reload());
  update();

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

  function update() {
    const { workspace } = current();
    showCards("profile", workspace.profiles);
    const { profile } = current();
    showGpus(profile);
    for (const key of ["cpu", "memory", "runtime", "wait"]) {
      rows[key].show(profile[key], chosen.get(profile.name)?.[key]);
    }
    showImage(profile);
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

  function showGpus(profile) {
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
    if (possible.length > 1) {
      choices.push({ name: ANY });
    }
    if (profile.gpus.min === 0) {
      choices.push({ name: NO_GPU });
    }
    showCards("gpu_class", choices, [chosen.get(profile.name)?.gpuClass, profile.gpuClass || NO_GPU]);
    const bounds = gpuBounds(profile, picked("gpu_class"));
    rows.gpus.show(bounds, chosen.get(profile.name)?.gpus, { hidden: !bounds || bounds.max === 1 });
  }

  // Shows the cards of these choices, in their order, and picks the first preferred one that can be had.
  function showCards(field, choices, preferred = []) {
    const cards = new Map([...root.querySelectorAll(`[data-gs-card="${field}"]`)].map((card) => [card.dataset.gsValue, card]));
    const shown = choices.map((choice) => cards.get(choice.name));
    cards.forEach((card) => (card.hidden = !shown.includes(card)));
    if ([...cards.values()].filter((card) => !card.hidden).some((card, index) => card !== shown[index])) {
      shown[0].parentElement.append(...shown);
    }
    choices.forEach((choice, index) => fillCard(shown[index], choice));
    const open = shown.map((card) => card.querySelector("input")).filter((input) => !input.disabled);
    const wanted = preferred.length ? preferred : [picked(field)];
    const best = wanted.map((value) => open.find((input) => input.value === value)).find(Boolean) ?? open[0];
    const radios = [...cards.values()].map((card) => card.querySelector("input"));
    const fallback = best ?? shown[0].querySelector("input");
    radios.forEach((input) => (input.checked = input === fallback));
  }

  function fillCard(card, choice) {
    const off = Boolean(choice.reason);
    card.classList.toggle("gs-off", off);
    card.querySelector("input").disabled = off;
    fill(card.querySelector("[data-gs-reason]"), choice.reason);
    fill(card.querySelector("[data-gs-held]"), off ? "" : choice.held);
    const free = card.querySelector("[data-gs-free]");
    fill(free, choice.free);
    free?.classList.toggle("gs-taken", !choice.startable);
  }

  function summarise() {
    const { workspace, profile, gpuClass } = current();
    const cost = costOf(workspace, profile, gpuClass);
    const off = workspace.reason || profile.reason;
    const reason = off || cost.refusal;
    const text = off || sentence(profile, gpuClass);
    const box = form.querySelector("[data-gs-summary]");
    box.hidden = false;
    box.classList.toggle("gs-summary-off", Boolean(reason));
    fill(box.querySelector("[data-gs-summary-text]"), text);
    fill(box.querySelector("[data-gs-summary-cost]"), off ? "" : cost.refusal || cost.text);
    fill(box.querySelector("[data-gs-summary-note]"), reason ? "" : waiting(profile, gpuClass));
    form.querySelectorAll("[type=submit]").forEach((button) => (button.disabled = Boolean(reason)));
  }

  function sentence(profile, gpuClass) {
    const count = gpuCount(profile, gpuClass);
    const title = profile.gpuClasses.find((offer) => offer.name === gpuClass)?.title ?? "any class";
    const gpus = count ? `on ${count} GPU${count === 1 ? "" : "s"} (${title})` : "without a GPU";
    const cores = rows.cpu.value();
    const parts = [
      `${profile.title} ${gpus}`,
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
    const count = gpuCount(profile, gpuClass);
    const possible = profile.gpuClasses.filter((offer) => !offer.reason && (gpuClass === ANY || offer.name === gpuClass));
    const hourly = count
      ? possible.map((offer) => data.costs.rates[offer.name] * count)
      : [data.costs.cpuRate * rows.cpu.value()];
    return bill(hourly, rows.runtime.value(), profile.runtime.min, budget, data.costs.steps);
  }

  function waiting(profile, gpuClass) {
    const count = gpuCount(profile, gpuClass);
    const offers = profile.gpuClasses.filter(
      (offer) => !offer.reason && (gpuClass === ANY || offer.name === gpuClass) && offer.freeTogether !== null,
    );
    const most = Math.max(...offers.map((offer) => offer.freeTogether));
    if (!count || !offers.length || most >= count) {
      return "";
    }
    const enough = count === 1 ? "one is" : `${count} are`;
    return most
      ? `At most ${most} of these GPUs ${most === 1 ? "is" : "are"} free on one machine now: your server waits until ${enough}.`
      : `None of these GPUs is free now: your server waits until ${enough} returned.`;
  }

  function gpuCount(profile, gpuClass) {
    const bounds = gpuBounds(profile, gpuClass);
    if (!bounds) {
      return 0;
    }
    return bounds.max === 1 ? 1 : rows.gpus.value();
  }
}

// `hourly` are the prices of the classes that will do; those that the budget does not cover are left out, as in admission.
function bill(hourly, hours, shortest, budget, steps) {
  const costs = hourly.map((price) => price * weighted(hours, steps)).filter(Number.isFinite);
  if (!costs.length) {
    return {};
  }
  const cheapest = Math.min(...costs);
  const covered = costs.filter((cost) => cost <= budget.left + 1e-9);
  if (covered.length) {
    const cost = Math.max(...covered);
    return { text: `${cost ? `Costs ${units(cost)} at most.` : "Costs nothing."} ${budget.sentence}` };
  }
  const lasts = Math.floor(lasting(budget.left / Math.min(...hourly), hours, steps) * 60 + 1e-6) / 60;
  const enough = lasts ? ` Your budget lasts for ${duration(lasts)} of it` : "";
  if (budget.endsEarly && lasts >= Math.min(shortest, hours)) {
    return { text: `Costs ${units(cheapest)}.${enough}; then the server ends. ${budget.sentence}` };
  }
  return { refusal: `Costs ${units(cheapest)}, more than is left.${enough && `${enough}.`} ${budget.sentence}` };
}

// Hours from now on, each counted at what is due then: `steps` are pairs of hours from now and the part that is due.
function weighted(hours, steps) {
  return steps.reduce((sum, [from, part], index) => {
    const until = Math.min(hours, steps[index + 1]?.[0] ?? Infinity);
    return sum + Math.max(0, until - from) * part;
  }, 0);
}

// How many of these hours so many hours at the full price pay for.
function lasting(full, hours, steps) {
  let [fits, tooLong] = [0, hours];
  for (let step = 0; step < 40; step += 1) {
    const middle = (fits + tooLong) / 2;
    [fits, tooLong] = weighted(middle, steps) <= full ? [middle, tooLong] : [fits, middle];
  }
  return fits;
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

// One row of slider and number; `chosen` is told what the visitor sets.
function amountRow(element, key, memoryUnit, chosen) {
  const slider = element.querySelector("[data-gs-slider]");
  const input = element.querySelector("input[type=number]");
  const unit = element.querySelector("[data-gs-unit]");
  const fixed = element.querySelector("[data-gs-fixed]");
  const why = element.querySelector("[data-gs-why]");
  let stops = [];

  slider.addEventListener("input", () => set(stops[slider.valueAsNumber], input));
  input.addEventListener("input", () => {
    if (input.validity.valid && input.value !== "") {
      set(input.valueAsNumber, slider);
    }
  });
  return { show, value: () => input.valueAsNumber };

  function set(value, other) {
    if (other === input) {
      input.value = String(value);
    } else {
      slide(value);
    }
    label(value);
    chosen(value);
  }

  function slide(value) {
    const distances = stops.map((stop) => Math.abs(stop - value));
    slider.value = String(distances.indexOf(Math.min(...distances)));
    slider.style.setProperty("--gs-filled", `${(100 * slider.value) / Math.max(1, stops.length - 1)}%`);
  }

  function label(value) {
    slider.setAttribute("aria-valuetext", inWords(key, value, memoryUnit));
    unit.textContent = unitOf(key, value, memoryUnit);
  }

  function show(bounds, wanted, { hidden = false } = {}) {
    element.hidden = hidden;
    input.disabled = !bounds;
    if (!bounds) {
      return;
    }
    const value = Math.min(Math.max(wanted ?? bounds.default, bounds.min), bounds.max);
    const single = bounds.min === bounds.max;
    stops = stopsBetween(bounds, key);
    slider.max = String(stops.length - 1);
    input.min = String(bounds.min);
    input.max = String(bounds.max);
    input.step = key === "gpus" ? "1" : "any";
    input.required = true;
    input.value = String(value);
    slider.hidden = input.parentElement.hidden = single;
    fixed.hidden = !single;
    fixed.textContent = inWords(key, value, memoryUnit);
    why.textContent = bounds.why;
    slide(value);
    label(value);
  }
}

const NICE = {
  cpu: [0.1, 0.25, 0.5, 1, 2, 3, 4, 6, 8, 12, 16, 20, 24, 32, 40, 48, 64, 96, 128, 192, 256],
  memory: [0.25, 0.5, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048],
  runtime: [0.25, 0.5, 1, 1.5, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 36, 48, 72, 96, 120, 144, 168, 240, 336, 504, 720],
  wait: [1, 2, 5, 10, 15, 20, 30, 45, 60, 90, 120, 180, 240, 360, 480, 720, 1080, 1440, 2160, 2880],
};

// Where the slider stops: the bounds, the default, and round numbers between, wider apart the larger they are.
function stopsBetween({ min, max, default: usual }, key) {
  const whole = Number.isInteger(min) && max - min <= 16 && key !== "runtime";
  const between = whole ? Array.from({ length: Math.floor(max - min) }, (_, step) => min + step) : NICE[key] ?? [];
  const stops = [min, ...between.filter((stop) => stop > min && stop < max), usual, max];
  return [...new Set(stops)].sort((one, other) => one - other);
}

function unitOf(key, value, memoryUnit) {
  const one = value === 1;
  const [single, several] = {
    gpus: ["GPU", "GPUs"],
    cpu: ["core", "cores"],
    memory: [memoryUnit, memoryUnit],
    runtime: ["hour", "hours"],
    wait: ["min", "min"],
  }[key];
  return one ? single : several;
}

function inWords(key, value, memoryUnit) {
  const hours = { runtime: value, wait: value / 60 }[key];
  return hours !== undefined ? duration(hours) : `${number(value)} ${unitOf(key, value, memoryUnit)}`;
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
  start(root, JSON.parse(document.getElementById("gs-data").textContent));
}
