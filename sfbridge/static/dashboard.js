// The board: takes what the feed says and writes it down. Text is only ever set as text, never as markup.

import { drawTimeline, drawTurns, span } from "./drawing.js";

const PLOT_SECONDS = 15 * 60;
const MOST_TURNS = 200;
const at = (id) => document.getElementById(id);
const turns = new Map();
let source = null;
let last = null;
let clockGap = 0;

function make(name, text, className) {
  const element = document.createElement(name);
  if (text !== undefined && text !== null) element.textContent = text;
  if (className) element.className = className;
  return element;
}

function count(number) {
  if (number === null || number === undefined) return "–";
  return number < 10_000 ? String(number) : number < 1e6 ? `${(number / 1e3).toFixed(1)} k` : `${(number / 1e6).toFixed(1)} M`;
}

function lasting(seconds) {
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  return seconds < 172_800 ? `${Math.round(seconds / 3600)} h` : `${Math.round(seconds / 86_400)} days`;
}

const now = () => Date.now() / 1000 + clockGap;

// ---- what the feed says

function show(look) {
  last = look;
  clockGap = look.stats.at - Date.now() / 1000;
  for (const turn of look.turns) turns.set(turn.id, turn);
  for (const id of turns.keys()) {
    if (turns.size <= MOST_TURNS) break;
    turns.delete(id);
  }
  at("enter").hidden = true;
  at("board").hidden = false;
  at("sandbox").hidden = !look.sandbox;
  const health = at("health");
  health.textContent = look.ready ? "● ready" : "▲ not ready";
  health.className = `pill ${look.ready ? "ready" : "down"}`;
  at("about").textContent = `version ${look.stats.version}, up for ${lasting(look.stats.uptime_seconds)}`;
  showTiles(look.stats);
  showUpstreams(look);
  showRunning(look.stats.running);
  showContexts(look.contexts);
  if (look.turns.length) showTurns();
  draw();
}

function showTiles(stats) {
  const all = stats.overall, lately = [...turns.values()].slice(-50);
  const failed = lately.filter((turn) => turn.verdict === "failed").length;
  const minute = [...turns.values()].filter((turn) => turn.at > now() - 60).length;
  const gates = Object.values(stats.gates);
  const waiting = gates.reduce((sum, gate) => sum + gate.waiting, 0);
  const total = (name) => gates.reduce((sum, gate) => sum + gate[name], 0);
  const tiles = [
    ["Under way", stats.running.length, `${minute} turns in the last minute`],
    ["Turns", count(all.turns), `${count(all.outcomes.whole ?? 0)} whole`],
    ["Failed lately", lately.length ? `${Math.round((100 * failed) / lately.length)} %` : "–", `${failed} of the last ${lately.length}`],
    ["First word", span(all.first.p50), `half; 9 of 10 within ${span(all.first.p90)}`],
    ["Whole answer", span(all.total.p50), `9 of 10 within ${span(all.total.p90)}, 99 of 100 within ${span(all.total.p99)}`],
    ["Tokens in", count(all.input), all.cache_read ? `and ${count(all.cache_read)} from caches` : all.estimated ? `${all.estimated} turns estimated` : "as reported"],
    ["Tokens out", count(all.output), all.estimated ? `${all.estimated} turns estimated` : "as reported"],
    ["In the queue", waiting, `${count(total("queued"))} waited, ${count(total("full") + total("late"))} turned away`],
    ["Retries", count(all.retries), `${count(all.rounds)} faulty answers asked for again`],
    ["Repairs", count(all.repairs), "lossless corrections of calls"],
    ["Downgrades", count(all.downgrades), "answers replayed as a stream, or made JSON"],
    ["Refused", count(Object.values(stats.refusals).reduce((a, b) => a + b, 0)), Object.keys(stats.refusals).join(", ") || "requests that never became a turn"],
  ];
  at("tiles").replaceChildren(...tiles.map(([name, value, note]) => {
    const tile = make("div");
    tile.append(make("dt", name), make("dd", value), make("dd", note));
    return tile;
  }));
}

function showUpstreams(look) {
  at("upstreams").replaceChildren(...Object.entries(look.upstreams).map(([name, upstream]) => {
    const card = make("article"), head = make("h3", name);
    head.append(make("span", upstream.ready ? "● ready" : "▲ not ready", upstream.ready ? "ready" : "down"));
    const facts = make("dl");
    const share = look.stats.upstreams[name], gate = look.stats.gates[name];
    const rows = Object.entries(upstream.facts);
    if (gate) rows.push(["in flight", gate.limit ? `${gate.in_flight} of ${gate.limit}, ${gate.waiting} waiting` : String(gate.in_flight)]);
    if (share) rows.push(["turns", `${share.turns}, ${share.outcomes.whole ?? 0} whole`]);
    for (const [key, value] of rows) {
      if (value === null || value === "") continue;
      const life = key.endsWith("_in") && typeof value === "number";
      facts.append(make("dt", key.replaceAll("_", " ")), make("dd", life ? lasting(value) : String(value)));
    }
    card.append(head, make("p", upstream.summary, "quiet"), facts);
    return card;
  }));
}

function showRunning(running) {
  at("running").tBodies[0].replaceChildren(...running.map((turn) => {
    const row = make("tr");
    row.append(
      make("td", turn.client || "unnamed"), make("td", turn.model), make("td", turn.upstream),
      make("td", turn.phase + (turn.rounds ? `, asked again ${turn.rounds} times` : "")),
      make("td", span(turn.elapsed_ms), "number"),
    );
    return row;
  }));
}

function showContexts(contexts) {
  at("contexts").replaceChildren(...contexts.map((one) => {
    const item = make("li"), label = make("label", `${one.conversation}, ${one.model}: `), meter = make("meter");
    meter.id = `context ${one.conversation}`;
    label.htmlFor = meter.id;
    Object.assign(meter, { min: 0, max: one.window, low: one.window * 0.75, high: one.window * 0.85, optimum: 0, value: one.input_tokens });
    const left = one.turns_left === null || one.turns_left === undefined ? "" : `, about ${one.turns_left} turns left`;
    const note = `${count(one.input_tokens)} of ${count(one.window)} tokens (${Math.round((100 * one.input_tokens) / one.window)} %), peak ${count(one.peak_input_tokens)}${left}${one.prunes ? `, cut ${one.prunes} times` : ""}`;
    meter.textContent = note;
    item.append(label, meter, make("div", note, "quiet"));
    return item;
  }));
}

function showTurns() {
  const open = document.activeElement?.dataset?.turn;
  const newest = [...turns.values()].sort((a, b) => b.at - a.at);
  at("turns").tBodies[0].replaceChildren(...newest.map((turn) => {
    const row = make("tr"), when = make("td"), button = make("button", new Date(turn.at * 1000).toLocaleTimeString());
    button.dataset.turn = turn.id;
    button.setAttribute("aria-label", `Show the turn of ${button.textContent}`);
    when.append(button);
    const by = turn.answered_by || turn.target, model = make("td", turn.model, "name");
    if (by && by !== turn.model) model.append(make("span", ` by ${by}`, "quiet"));
    const outcome = turn.verdict === "failed" ? `▲ ${turn.error_kind}` : turn.verdict === "left" ? "◆ client left" : "● whole";
    row.append(
      when, make("td", outcome, turn.verdict), make("td", turn.client || "unnamed"), model,
      make("td", span(turn.first_ms), "number"), make("td", span(turn.total_ms), "number"),
      make("td", (turn.estimated ? "~" : "") + count(turn.input), "number"), make("td", count(turn.output), "number"),
      make("td", turn.changes.join("; "), "changes"),
    );
    return row;
  }));
  if (open) document.querySelector(`button[data-turn="${CSS.escape(open)}"]`)?.focus();
}

function draw() {
  if (last) drawTurns(at("plot"), at("plot-words"), [...turns.values()], now(), PLOT_SECONDS);
}

// ---- one turn

async function openTurn(id) {
  const answer = await fetch(`dashboard/turns/${encodeURIComponent(id)}`);
  if (!answer.ok) {
    at("feed").textContent = "That turn is no longer remembered.";
    return;
  }
  const { turn, story } = await answer.json();
  at("turn-heading").textContent = `Turn of ${new Date(turn.at * 1000).toLocaleString()}`;
  at("story").replaceChildren(...story.map((line) => make("li", line.replace(/^- /, ""))));
  at("contents").hidden = !turn.contents;
  if (turn.contents) {
    at("asked").textContent = turn.contents.asked ?? "";
    at("answered").textContent = [turn.contents.answered, ...(turn.contents.calls ?? [])].filter(Boolean).join("\n");
  }
  drawTimeline(at("timeline"), at("timeline-words"), turn);
  at("turn").showModal();
}

at("turns").addEventListener("click", (event) => {
  const id = event.target.dataset?.turn;
  if (id) openTurn(id);
});

// ---- the feed, and the key it may need

function follow() {
  source?.close();
  source = new EventSource("dashboard/feed");
  source.addEventListener("look", (event) => {
    at("feed").textContent = "live";
    show(JSON.parse(event.data));
  });
  source.onerror = async () => {
    at("feed").textContent = "not connected, trying again…";
    at("health").textContent = "? unknown";
    at("health").className = "pill unknown";
    if (source.readyState !== EventSource.CLOSED) return;
    // the browser gives up on an answer that is no stream: a key is wanted, or a proxy is in the way
    const found = await fetch("dashboard/open").catch(() => null);
    if (found?.status === 401) ask();
    else setTimeout(follow, 3000);
  };
}

function ask() {
  at("enter").hidden = false;
  at("board").hidden = true;
  at("feed").textContent = "";
  at("key").focus();
}

at("enter").addEventListener("submit", async (event) => {
  event.preventDefault();
  const entered = await fetch("dashboard/enter", {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ key: at("key").value }),
  }).catch(() => null);
  at("key").value = "";
  at("refused").textContent = entered?.ok ? "" : entered ? "That is none of the keys." : "The server does not answer.";
  if (entered?.ok) follow();
});

window.addEventListener("resize", draw);
follow();
