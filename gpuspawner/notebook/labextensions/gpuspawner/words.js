// Numbers as people read them, in the words of the hub's own pages.

const GIB = 2 ** 30;

// Seconds, rounded up to minutes: "1 h 32 min".
export function duration(seconds) {
  const minutes = Math.ceil(seconds / 60);
  const parts = [
    [Math.floor(minutes / 60), "h"],
    [minutes % 60, "min"],
  ];
  return parts.filter(([value]) => value).map(([value, unit]) => `${value} ${unit}`).join(" ") || "0 min";
}

// Service units: what something takes is rounded up, what somebody has is rounded down.
export function units(amount, { up = false } = {}) {
  const hundredths = up ? Math.ceil(amount * 100 - 1e-6) : Math.floor(amount * 100 + 1e-6);
  return `${(hundredths / 100).toLocaleString("en-GB", { maximumFractionDigits: 2 })} SU`;
}

export function gib(bytes) {
  const amount = bytes / GIB;
  return amount.toLocaleString("en-GB", { maximumFractionDigits: amount < 10 ? 1 : 0 });
}

export function percent(part) {
  return `${Math.round(part * 100)} %`;
}

// A time of the hub, RFC 3339 in its own zone: "15:32", with the day where it is another one there.
export function clock(time, seconds) {
  const at = new Date(`${time.slice(0, 19)}Z`);
  const now = new Date(at - seconds * 1000);
  const day = at.toLocaleDateString("en-GB", { weekday: "long", timeZone: "UTC" });
  return `${at.getUTCDate() === now.getUTCDate() ? "" : `${day}, `}${time.slice(11, 16)}`;
}

