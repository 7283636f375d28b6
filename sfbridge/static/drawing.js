// Small SVG drawings, from numbers alone. Their words stand beside them; the drawings themselves say nothing aloud.

import { span } from "./words.js";

const SPACE = "http://www.w3.org/2000/svg";

function part(name, attributes, text) {
  const element = document.createElementNS(SPACE, name);
  for (const [key, value] of Object.entries(attributes)) {
    element.setAttribute(key, typeof value === "number" ? +value.toFixed(1) : value);
  }
  if (text !== undefined) element.textContent = text;
  return element;
}

const word = (x, y, anchor, text, kind = "") => part("text", { x, y, "text-anchor": anchor, class: kind }, text);
const line = (kind, x1, y1, x2, y2) => part("line", { class: kind, x1, y1, x2, y2 });

function put(svg, width, height, parts) {
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.replaceChildren(...parts);
}

// ---- the last minutes

const MINUTES = 15;
const KINDS = ["whole", "left", "failed"];
export const ended = (minute) => minute.whole + minute.failed + minute.left;

// Above, how long whole turns took (logarithmic); below, how many turns ended how. To the right is now.
export function drawMinutes(svg, minutes) {
  const width = Math.max(240, svg.clientWidth || 640), left = 52, step = (width - left - 8) / MINUTES;
  const x = (ago) => left + step * (MINUTES - 0.5 - ago);
  put(svg, width, 236, [
    ...latencies(minutes, x, left, width - 8),
    ...outcomes(minutes, x, left, width - 8, Math.min(step - 3, 44)),
    ...[0, 5, 10].map((ago) => word(x(ago), 230, "middle", ago ? `−${ago} min` : "now")),
  ]);
}

function latencies(minutes, x, left, right) {
  const [top, foot] = [14, 128];
  const most = Math.max(100, ...minutes.map((one) => one.total.p90 ?? 0));
  const y = (ms) => foot - ((foot - top) * Math.log(Math.max(1, ms))) / Math.log(most);
  const parts = [];
  for (let ms = 1; ms <= most; ms *= 10) {
    const name = ms < 1000 ? `${ms} ms` : `${ms / 1000} s`;
    parts.push(line("axis", left, y(ms), right, y(ms)), word(left - 8, y(ms) + 4, "end", name));
  }
  for (const one of minutes) {
    if (!one.total.n) continue;
    parts.push(line("range", x(one.ago), y(one.total.p50), x(one.ago), y(one.total.p90)));
    parts.push(part("circle", { class: "half", cx: x(one.ago), cy: y(one.total.p50), r: 4 }));
    if (one.first.n) parts.push(line("first", x(one.ago) - 6, y(one.first.p50), x(one.ago) + 6, y(one.first.p50)));
  }
  return parts;
}

function outcomes(minutes, x, left, right, wide) {
  const [top, foot] = [164, 212];
  const most = Math.max(1, ...minutes.map(ended));
  const parts = [line("axis", left, foot, right, foot), word(left - 8, foot, "end", "0"), word(left - 8, top + 8, "end", most)];
  for (const one of minutes) {
    let from = foot;
    for (const kind of KINDS) {
      if (!one[kind]) continue;
      // even a single one among a thousand is to be seen
      const height = Math.max(3, ((foot - top) * one[kind]) / most);
      from -= height;
      parts.push(part("rect", { class: `count ${kind}`, x: x(one.ago) - wide / 2, y: from, width: wide, height }));
    }
    if (one.failed) parts.push(word(x(one.ago), from - 4, "middle", `▲${one.failed}`, "failed"));
  }
  return parts;
}

// ---- one turn

const ENDS = { whole: "answered", failed: "failed", left: "client left" };

// What a turn did one after the other: { name, from, to, kind } in milliseconds since it began.
export function stepsOf(turn) {
  const reached = [
    ["prepared", turn.prepared_ms, ""],
    ["connected", turn.connected_ms, ""],
    ...(turn.retried_ms ?? []).map((ms) => ["refused, tried again", ms, "refused"]),
    // behind a proxy nobody can tell when there was a connection
    [turn.connected_ms === undefined ? "connected, accepted" : "accepted", turn.accepted_ms, ""],
    ...(turn.asked_again_ms ?? []).map((ms) => ["faulty, asked again", ms, "refused"]),
    ["first word", turn.first_ms, ""],
  ].filter(([, ms]) => ms !== undefined && ms !== null).sort(([, a], [, b]) => a - b);
  reached.push([ENDS[turn.verdict], turn.total_ms, turn.verdict]);
  const steps = [];
  let before = 0, queued = turn.queued_ms ?? 0;
  for (const [name, to, kind] of reached) {
    // the queue comes after the preparation, whatever comes next
    if (queued && name !== "prepared" && before >= (turn.prepared_ms ?? 0)) {
      const until = Math.min(before + queued, to);
      steps.push({ name: "waited in the queue", from: before, to: until, kind: "waited" });
      [before, queued] = [until, 0];
    }
    steps.push({ name, from: before, to, kind });
    before = to;
  }
  return steps;
}

export function stepWords(steps) {
  const told = ({ name, from, to, kind }) => (kind === "waited" ? `${name} for ${span(to - from)}` : `${name} at ${span(to)}`);
  return steps.map(told).join(", ");
}

// A bar for each step; where there is little room its name stands above it.
export function drawTimeline(svg, steps) {
  const width = Math.max(220, svg.clientWidth || 640), narrow = width < 480;
  const left = narrow ? 2 : 168, right = 84, row = narrow ? 38 : 26, drop = narrow ? 16 : 2;
  const end = Math.max(1, steps.at(-1).to), x = (ms) => left + ((width - left - right) * ms) / end;
  const foot = steps.length * row + 4;
  const parts = [0, end / 2, end].map((ms) => line("axis", x(ms), 0, x(ms), foot));
  steps.forEach(({ name, from, to, kind }, place) => {
    const top = place * row + drop, size = Math.max(3, x(to) - x(from));
    parts.push(narrow ? word(left, top - 4, "start", name) : word(left - 10, top + 13, "end", name));
    parts.push(part("rect", { class: `step ${kind}`, x: Math.min(x(from), x(end) - 3), y: top, width: size, height: 16, rx: 2 }));
    parts.push(word(x(to) + 8, top + 13, "start", kind === "waited" || kind === "refused" ? `for ${span(to - from)}` : span(to)));
  });
  parts.push(word(x(0), foot + 14, "start", "0"), word(x(end), foot + 14, "end", span(end)));
  put(svg, width, foot + 20, parts);
}

// ---- one conversation

// The prompts of the latest turns under the edge of the window.
export function drawCourse(svg, course, window) {
  const [width, height] = [120, 28], most = Math.max(window, ...course);
  const x = (place) => 4 + ((width - 8) * place) / Math.max(1, course.length - 1);
  const y = (tokens) => height - 3 - ((height - 6) * tokens) / most;
  const points = course.map((tokens, place) => `${x(place).toFixed(1)},${y(tokens).toFixed(1)}`);
  put(svg, width, height, [
    line("axis", 0, y(window), width, y(window)),
    part("polyline", { class: "course", points: points.join(" ") }),
    part("circle", { class: "half", cx: x(course.length - 1), cy: y(course.at(-1)), r: 2.5 }),
  ]);
}

export const drawing = (className) => part("svg", { class: className, "aria-hidden": "true" });
