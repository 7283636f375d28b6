// Numbers and times as people read them; between a number and its unit no line is broken.

const missing = (value) => value === null || value === undefined;

// 0 to 9999, then 10.0 k to 999.9 k, then millions; `estimated` counts have a ~ before them.
export function count(number, estimated = false) {
  if (missing(number)) return "–";
  const about = estimated ? "~" : "";
  if (number < 10_000) return about + number;
  return about + (number < 999_950 ? `${(number / 1e3).toFixed(1)}\u00a0k` : `${(number / 1e6).toFixed(1)}\u00a0M`);
}

export function span(milliseconds) {
  if (missing(milliseconds)) return "–";
  if (milliseconds < 1000) return `${Math.round(milliseconds)}\u00a0ms`;
  if (milliseconds < 59_950) return `${(milliseconds / 1000).toFixed(1)}\u00a0s`;
  const seconds = Math.round(milliseconds / 1000);
  return `${Math.floor(seconds / 60)}\u00a0min ${seconds % 60}\u00a0s`;
}

// How long something has been or will be, roughly.
export function lasting(seconds) {
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  return seconds < 172_800 ? `${Math.round(seconds / 3600)} h` : `${Math.round(seconds / 86_400)} days`;
}

// "1 turn", "2 turns"
export const several = (number, one, more = `${one}s`) => `${count(number)} ${number === 1 ? one : more}`;

// seconds since the epoch, or a Date
export const clock = (at) => (at instanceof Date ? at : new Date(at * 1000)).toLocaleTimeString();

const OUTCOMES = { whole: "● whole", left: "◆ client left" };
export const outcome = (turn) => OUTCOMES[turn.verdict] ?? `▲ ${turn.error_kind.replaceAll("_", " ")}`;

// What half, nine of ten and all but one of a hundred stayed within.
export const within = (spread) => (spread.n ? `9 of 10 within ${span(spread.p90)}, 99 of 100 within ${span(spread.p99)}` : "none yet");
