// What a launch costs at most, by the prices and the balance that the hub has told.

import { cost as said, duration } from "./words.js";

/**
 * `hourly` are the prices of the classes that will do; those that the budget does not cover are left out, as in
 * admission. Returns `text`, or why it is refused as `refusal`, and the `cost`; nothing where nothing is paid.
 */
export function bill(hourly, hours, shortest, budget, steps) {
  const costs = hourly.map((price) => price * weighted(hours, steps)).filter(Number.isFinite);
  if (!costs.length) {
    return {};
  }
  const cheapest = Math.min(...costs);
  const covered = costs.filter((cost) => cost <= budget.left + 1e-9);
  if (covered.length) {
    const cost = Math.max(...covered);
    return { cost, text: `${cost ? `Costs ${said(cost)} at most.` : "Costs nothing."} ${budget.sentence}` };
  }
  const lasts = Math.floor(lasting(budget.left / Math.min(...hourly), hours, steps) * 60 + 1e-6) / 60;
  const enough = lasts ? ` Your budget lasts for ${duration(lasts)} of it` : "";
  if (budget.endsEarly && lasts >= Math.min(shortest, hours)) {
    return { cost: budget.left, text: `Costs ${said(cheapest)}.${enough}; then the server ends. ${budget.sentence}` };
  }
  const refusal = `Costs ${said(cheapest)}, more than is left.${enough && `${enough}.`} ${budget.sentence}`;
  return { cost: cheapest, refusal };
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
