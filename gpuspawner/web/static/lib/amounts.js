// The rows of amounts in the launch form: slider and number of one amount, in step, and why it ends where it ends.

import { duration, number } from "./words.js";

const NICE = {
  cpu: [0.1, 0.25, 0.5, 1, 2, 3, 4, 6, 8, 12, 16, 20, 24, 32, 40, 48, 64, 96, 128, 192, 256],
  memory: [0.25, 0.5, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048],
  runtime: [0.25, 0.5, 1, 1.5, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 36, 48, 72, 96, 120, 144, 168, 240, 336, 504, 720],
  wait: [1, 2, 5, 10, 15, 20, 30, 45, 60, 90, 120, 180, 240, 360, 480, 720, 1080, 1440, 2160, 2880],
};

/** One row; `chosen` is told what the visitor sets. */
export function amountRow(element, key, memoryUnit, chosen) {
  const slider = element.querySelector("[data-gs-slider]");
  const input = element.querySelector("input[type=number]");
  const unit = element.querySelector("[data-gs-unit]");
  const fixed = element.querySelector("[data-gs-fixed]");
  const ends = element.querySelector("[data-gs-ends]");
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
    slider.hidden = input.parentElement.hidden = ends.hidden = single;
    fixed.hidden = !single;
    fixed.textContent = inWords(key, value, memoryUnit);
    ends.replaceChildren(...[bounds.min, bounds.max].map((end) => span(inWords(key, end, memoryUnit))));
    why.textContent = bounds.why;
    slide(value);
    label(value);
  }
}

function span(text) {
  const element = document.createElement("span");
  element.textContent = text;
  return element;
}

// Where the slider stops: the bounds, the default, and round numbers between, wider apart the larger they are.
function stopsBetween({ min, max, default: usual }, key) {
  const whole = Number.isInteger(min) && max - min <= 16 && key !== "runtime";
  const between = whole ? Array.from({ length: Math.floor(max - min) }, (_, step) => min + step) : NICE[key] ?? [];
  const stops = [min, ...between.filter((stop) => stop > min && stop < max), usual, max];
  return [...new Set(stops)].sort((one, other) => one - other);
}

function unitOf(key, value, memoryUnit) {
  const [single, several] = {
    gpus: ["GPU", "GPUs"],
    cpu: ["core", "cores"],
    memory: [memoryUnit, memoryUnit],
    runtime: ["hour", "hours"],
    wait: ["min", "min"],
  }[key];
  return value === 1 ? single : several;
}

function inWords(key, value, memoryUnit) {
  const hours = { runtime: value, wait: value / 60 }[key];
  return hours !== undefined ? duration(hours) : `${number(value)} ${unitOf(key, value, memoryUnit)}`;
}
