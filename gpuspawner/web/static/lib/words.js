// Numbers, durations and amounts in the words of the hub.

/** "2", "0.25", "?" for what is no number. */
export function number(value) {
  return Number.isFinite(value) ? String(Math.round(value * 100) / 100) : "?";
}

/** Hours as "1 h 30 min". */
export function duration(hours) {
  if (!Number.isFinite(hours)) {
    return "?";
  }
  const minutes = Math.round(hours * 60);
  const parts = [];
  if (minutes >= 60) {
    parts.push(`${Math.floor(minutes / 60)} h`);
  }
  if (minutes % 60) {
    parts.push(`${minutes % 60} min`);
  }
  return parts.join(" ") || "0 min";
}

/** Seconds that are left, as "2 d 3 h", "1 h 05 min", "4 min", "under a minute": rounded up, as the hub says it. */
export function left(seconds) {
  const minutes = Math.ceil(Math.max(0, seconds) / 60);
  if (minutes <= 1) {
    return seconds > 0 ? "under a minute" : "no time";
  }
  const [days, hours] = [Math.floor(minutes / 1440), Math.floor(minutes / 60) % 24];
  if (days) {
    return `${days} d${hours ? ` ${hours} h` : ""}`;
  }
  const rest = minutes % 60;
  return hours ? `${hours} h${rest ? ` ${String(rest).padStart(2, "0")} min` : ""}` : `${rest} min`;
}

/** Seconds that have passed, as a clock: "0:07", "12:30", "1:02:03". */
export function elapsed(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
  const padded = (value) => String(value).padStart(2, "0");
  return hours ? `${hours}:${padded(minutes)}:${padded(whole % 60)}` : `${minutes}:${padded(whole % 60)}`;
}

/** An amount that something takes, rounded up as the hub says a cost: "1,234.5 SU". */
export function cost(amount) {
  return `${grouped(Math.ceil(amount * 100 - 1e-6) / 100)} SU`;
}

/** An amount that somebody has, rounded down: "7.25 SU". */
export function units(amount) {
  return `${grouped(Math.floor(amount * 100 + 1e-6) / 100)} SU`;
}

/** count(2, "GPU") is "2 GPUs". */
export function count(amount, one, several = `${one}s`) {
  return `${number(amount)} ${amount === 1 ? one : several}`;
}

function grouped(amount) {
  return amount.toLocaleString("en-GB", { maximumFractionDigits: 2 });
}
