// The head of the page: whether all is well, what is not, and whether this is known at all.

import { at, keep, make, mark, write } from "./keep.js";
import { clock, lasting } from "./words.js";

const HEALTH = {
  ready: ["● ready", "ready"],
  troubled: ["◆ ready, with troubles", "warned"],
  partly: ["▲ partly ready", "warned"],
  down: ["▲ not ready", "down"],
  stopping: ["◆ stopping", "warned"],
  unknown: ["? unknown", "unknown"],
  locked: ["◇ asks for a key", "unknown"],
};
const PATIENCE_MS = 2000;
let latest = null;
let heard = 0;
let told = "unknown";
let bad = null;

export const stale = () => at("board").classList.contains("stale");

export function showHealth(look) {
  latest = look;
  heard = Date.now();
  at("board").classList.remove("stale");
  write(at("feed"), "live");
  write(at("about"), `version ${look.stats.version}, up for ${lasting(look.stats.uptime_seconds)}`);
  at("sandbox").hidden = !look.sandbox.length;
  write(at("sandbox"), sandboxWords(look));
  // bad news waits, because a reload of the configuration unsettles everything for a moment
  if (["ready", "stopping", told].includes(look.state) || ["unknown", "locked"].includes(told)) tell(look);
  else bad ??= setTimeout(() => tell(latest), PATIENCE_MS);
}

function tell({ state, troubles }) {
  clearTimeout(bad);
  bad = null;
  told = state;
  write(at("health"), HEALTH[state][0]);
  mark(at("health"), `pill ${HEALTH[state][1]}`);
  if (troubles) keep(at("troubles"), troubles, (trouble) => trouble, (trouble) => make("li", "", trouble));
}

// What stands below is old: say since when, and make it look so.
export function goStale() {
  if (stale()) return;
  const stopped = latest?.state === "stopping" ? "the server was stopped, " : "";
  const since = heard ? ` since ${clock(new Date(heard))}` : "";
  write(at("feed"), `${stopped}not connected${since}, trying again…`);
  tell({ state: "unknown" });
  at("board").classList.add("stale");
}

export function goLocked() {
  write(at("feed"), "");
  tell({ state: "locked" });
}

function sandboxWords({ sandbox, upstreams }) {
  const all = sandbox.length === Object.keys(upstreams).length;
  const whose = all ? "Answers" : `The answers of ${sandbox.join(" and ")}`;
  return `${whose} come from the built-in sandbox org. For real models, set your own org in config.toml.`;
}
