// What the hub has just told of free GPUs and quotas, put into the offers of the launch form.

/** Renews `offers` by `news`, an event of /availability. */
export function renew(offers, news) {
  for (const workspace of offers) {
    const here = news.workspaces[workspace.name];
    for (const profile of here ? workspace.profiles : []) {
      const known = here.profiles[profile.name] ?? {};
      if (!profile.gpuClasses.length) {
        profile.free = known[""]?.sentence ?? "";
        profile.startable = !profile.free;
      }
      for (const offer of profile.gpuClasses) {
        renewClass(offer, profile, workspace, here.classes[offer.name], known[offer.name], news.classes[offer.name]);
      }
      if (profile.gpuClasses.length) {
        renewGpus(profile);
      }
    }
  }
}

function renewClass(offer, profile, workspace, quota, known, now) {
  if (now) {
    offer.free = known?.sentence ?? now.sentence;
    offer.startable = (known?.state ?? now.state) === "free" && now.free > 0;
    offer.freeTogether = now.together;
    offer.wait = now.wait;
    offer.ahead = now.ahead;
  }
  if (quota) {
    const least = offer.gpus.min;
    const room = quota.left ?? Infinity;
    const tightest = room < offer.own ? { most: room, why: quota.why } : { most: offer.own, why: offer.ownWhy };
    const refused = offer.own < least ? offer.ownWhy : room < least ? quota.why : "";
    const needs = least > 1 ? ` ${profile.title} needs ${least} GPUs.` : "";
    offer.held = quota.quota ? `${workspace.title} uses ${quota.held} of its ${quota.quota}` : "";
    offer.reason = refused && refused + needs;
    const max = offer.reason ? least : tightest.most;
    const usual = Math.min(Math.max(profile.usualGpus, least), max);
    offer.gpus = { default: usual, min: least, max, why: offer.reason || tightest.why };
  }
}

// What any of the classes allows, as the hub says it when the form is made.
function renewGpus(profile) {
  const possible = profile.gpuClasses.filter((offer) => !offer.reason);
  profile.reason = profile.otherReason;
  if (possible.length) {
    const best = possible.reduce((one, other) => (other.gpus.max > one.gpus.max ? other : one));
    const { max, why } = best.gpus;
    profile.gpus = { default: Math.min(profile.usualGpus, max), min: profile.leastGpus, max, why };
    return;
  }
  const granted = profile.gpuClasses.filter((offer) => offer.quota !== 0);
  const reasons = new Set(granted.map((offer) => offer.reason));
  const each = granted.map((offer) => `${offer.title}: ${offer.reason}`).join(" ");
  const why = reasons.size === 1 ? granted[0].reason : each || profile.gpus.why;
  if (profile.leastGpus) {
    profile.reason = why;
  } else {
    profile.gpus = { default: 0, min: 0, max: 0, why };
  }
}
