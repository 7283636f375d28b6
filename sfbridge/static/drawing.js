// Small SVG drawings: turns over time, and the steps of one turn.

const SPACE = "http://www.w3.org/2000/svg";

function part(name, attributes, text) {
  const element = document.createElementNS(SPACE, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  return element;
}

export function span(milliseconds) {
  if (milliseconds === null || milliseconds === undefined) return "–";
  if (milliseconds < 1000) return `${milliseconds} ms`;
  const seconds = milliseconds / 1000;
  return seconds < 60 ? `${seconds.toFixed(1)} s` : `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`;
}

// A dot for each turn: to the right is now, upwards is longer (a logarithmic scale, from 1 ms to its longest).
export function drawTurns(svg, words, turns, now, seconds) {
  const width = Math.max(320, svg.clientWidth), height = Math.max(160, svg.clientHeight);
  const [left, right, top, bottom] = [56, 12, 10, 24];
  const shown = turns.filter((turn) => turn.at > now - seconds);
  const longest = Math.max(1000, ...shown.map((turn) => turn.total_ms));
  const x = (at) => left + (width - left - right) * (1 - (now - at) / seconds);
  const y = (ms) => height - bottom - (height - top - bottom) * (Math.log10(Math.max(1, ms)) / Math.log10(longest * 1.2));
  const parts = [];
  for (let ms = 1; ms <= longest * 1.2; ms *= 10) {
    parts.push(part("line", { class: "axis", x1: left, x2: width - right, y1: y(ms), y2: y(ms) }));
    parts.push(part("text", { x: left - 8, y: y(ms) + 4, "text-anchor": "end" }, ms < 1000 ? `${ms} ms` : `${ms / 1000} s`));
  }
  const apart = width < 480 ? seconds / 60 : 5;
  for (let minutes = 0; minutes <= seconds / 60; minutes += apart) {
    const anchor = minutes === 0 ? "end" : minutes * 60 === seconds ? "start" : "middle";
    parts.push(part("text", { x: x(now - minutes * 60), y: height - 6, "text-anchor": anchor }, minutes ? `−${minutes} min` : "now"));
  }
  for (const turn of shown) {
    const [cx, cy] = [x(Math.min(now, turn.at + turn.total_ms / 1000)), y(turn.total_ms)];
    const kind = { class: `dot ${turn.verdict}` };
    // a failed turn differs in form too, not by its colour alone
    parts.push(turn.verdict === "whole"
      ? part("circle", { ...kind, cx, cy, r: 4 })
      : part("path", { ...kind, d: `M${cx} ${cy - 6}l6 11h-12z` }));
  }
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.replaceChildren(...parts);
  const failed = shown.filter((turn) => turn.verdict === "failed").length;
  words.textContent = shown.length
    ? `${shown.length} turns, ${failed} of them failed; the longest took ${span(Math.max(...shown.map((turn) => turn.total_ms)))}. Each dot is a turn, a triangle one that failed or was left; the higher, the longer it took.`
    : "No turns in this time.";
}

// The steps of one turn as bars, each from the moment before to its own.
export function drawTimeline(svg, words, turn) {
  const steps = [
    ["prepared", turn.prepared_ms], ["connected", turn.connected_ms],
    // behind a proxy nobody can tell when there was a connection
    [turn.connected_ms === undefined ? "connected and accepted" : "accepted", turn.accepted_ms],
    ...(turn.asked_again_ms ?? []).map((at) => ["faulty, asked again", at]),
    ["first word", turn.first_ms], ["end", turn.total_ms],
  ].filter(([, at]) => at !== undefined && at !== null).sort(([, a], [, b]) => a - b);
  const bars = [];
  let before = 0;
  for (const [name, at] of steps) {
    bars.push([name, before, at, name === "end" ? "answered" : name.startsWith("faulty") ? "faulty" : ""]);
    before = at;
    if (name === "prepared" && turn.queued_ms) {
      before += turn.queued_ms;
      bars.push(["waited in the queue", at, before, "waited"]);
    }
  }
  const width = 640, row = 28, left = 190, right = 90;
  const scale = (width - left - right) / Math.max(1, turn.total_ms);
  const parts = bars.flatMap(([name, from, to, kind], place) => [
    part("text", { x: left - 10, y: place * row + 19, "text-anchor": "end" }, name),
    part("rect", { class: `step ${kind}`, x: left + from * scale, y: place * row + 6, width: Math.max(2, (to - from) * scale), height: 16, rx: 3 }),
    part("text", { x: left + to * scale + 8, y: place * row + 19 }, span(to)),
  ]);
  svg.setAttribute("viewBox", `0 0 ${width} ${bars.length * row}`);
  svg.replaceChildren(...parts);
  words.textContent = bars.map(([name, , to]) => `${name} at ${span(to)}`).join(", ");
}
