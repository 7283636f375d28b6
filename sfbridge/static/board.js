// What is there and what it does now: upstreams, turns under way, and conversations.

import { drawCourse, drawing } from "./drawing.js";
import { stale } from "./health.js";
import { at, keep, keepPairs, make, mark, write } from "./keep.js";
import { count, lasting, several, span } from "./words.js";

let running = [];
let heard = 0;

export function showBoard(look) {
  heard = Date.now();
  running = look.stats.running;
  keep(at("upstreams"), Object.entries(look.upstreams), ([name]) => name, buildCard,
    (card, [name, upstream]) => fillCard(card, name, upstream, look.stats));
  showRunning();
  showContexts(look);
}

// ---- upstreams

// A full bar is half an hour, a Salesforce token's usual life, or the longest that was seen.
const USUAL_LIFE = 1800;
const lives = new Map();

function buildCard([name]) {
  const token = make("p", "token", make("span", "quiet"), make("meter"));
  token.lastChild.setAttribute("aria-label", `Life of the token of ${name}`);
  const head = make("h3", "", make("span", "", name), make("span"));
  return make("article", "", head, token, make("p", "quiet"), make("dl"));
}

function fillCard(card, name, upstream, stats) {
  const [head, token, summary, facts] = card.children;
  const { token_expires_in: left, ...rest } = upstream.facts;
  write(head.lastChild, upstream.ready ? "● ready" : "▲ not ready");
  mark(head.lastChild, upstream.ready ? "ready" : "down");
  showToken(token, name, left);
  write(summary, upstream.summary);
  const told = Object.entries(rest).filter(([, value]) => value !== "");
  keepPairs(facts, [
    ...told.map(([key, value]) => [key.replaceAll("_", " "), factWords(value)]),
    ...loadOf(stats.upstreams[name], stats.gates[name]),
  ]);
}

function showToken(token, name, left) {
  const [words, meter] = token.children;
  token.hidden = left === undefined;
  meter.hidden = typeof left !== "number";
  if (meter.hidden) {
    write(words, "no token held");
    return;
  }
  const good = Math.max(0, left), most = Math.max(USUAL_LIFE, good, lives.get(name) ?? 0);
  lives.set(name, most);
  write(words, `token good for ${lasting(good)}`);
  Object.assign(meter, { min: 0, max: most, value: good });
}

function factWords(value) {
  if (value === null) return "not known yet";
  return typeof value === "boolean" ? (value ? "yes" : "no") : String(value);
}

function loadOf(share, gate) {
  const rows = [];
  if (gate) rows.push(["in flight", gate.limit ? `${gate.in_flight} of ${gate.limit}, ${gate.waiting} waiting` : gate.in_flight]);
  if (!share) return rows;
  const { whole = 0, left = 0 } = share.outcomes, failed = share.turns - whole - left;
  const more = left ? `, ${count(left)} left` : "";
  rows.push(["turns", `${count(share.turns)}: ${count(whole)} whole, ${count(failed)} failed${more}`]);
  for (const [name, spread] of [["first word", share.first], ["whole answer", share.total]]) {
    if (spread.n) rows.push([name, `${span(spread.p50)}, 9 of 10 within ${span(spread.p90)}`]);
  }
  return rows;
}

// ---- what is under way

const PHASES = {
  planned: "being prepared",
  queued: "waiting in the queue",
  asked: "asked, not accepted yet",
  accepted: "accepted, no word yet",
  answering: "answering",
};

// Called again every second: turns grow older without the server saying so.
export function showRunning() {
  if (stale()) return;
  keep(at("running").tBodies[0], running, (turn) => turn.id, buildRunning, fillRunning);
}

function buildRunning() {
  const name = make("td", "name", make("span"), make("span", "quiet"));
  return make("tr", "", name, make("td", "phase"), make("td", "number"));
}

function fillRunning(row, turn) {
  const [name, phase, age] = row.children;
  write(name.firstChild, turn.model);
  write(name.lastChild, [turn.client || "unnamed", turn.upstream].filter(Boolean).join(" · "));
  const more = [PHASES[turn.phase]];
  if (turn.retries) more.push(`refused ${several(turn.retries, "time")}`);
  if (turn.rounds) more.push(`asked again ${several(turn.rounds, "time")}`);
  write(phase, more.join(", "));
  write(age, span(Math.floor((turn.elapsed_ms + Date.now() - heard) / 100) * 100));
}

// ---- conversations

const LEVELS = {
  warning: ["◆ warning: over 75 % full", "warned"],
  high: ["▲ high: over 85 % full", "warned"],
  critical: ["▲ critical: over 95 % full, or refused as too long", "down"],
};

function showContexts(look) {
  keep(at("contexts"), look.contexts, (one) => one.conversation, buildContext, fillContext);
  at("contexts-more").hidden = !look.contexts_more;
  write(at("contexts-more"), `and ${count(look.contexts_more)} more: GET /v1/context`);
}

function buildContext(one) {
  const meter = make("meter");
  meter.setAttribute("aria-label", `Window of ${one.conversation}`);
  return make("li", "", make("p", "head", make("span"), make("span")), meter, drawing("spark"), make("p", "quiet"));
}

function fillContext(item, one) {
  const [head, meter, spark, note] = item.children;
  const [level, kind] = LEVELS[one.level] ?? ["", ""];
  write(head.firstChild, one.model === "default" ? one.conversation : `${one.conversation}, ${one.model}`);
  write(head.lastChild, level);
  mark(head.lastChild, kind);
  const { window } = one;
  Object.assign(meter, { min: 0, max: window, low: window * 0.75, high: window * 0.95, optimum: 0, value: one.input_tokens });
  const course = one.course.join(" ");
  if (spark.dataset.course !== course && one.course.length > 1) drawCourse(spark, one.course, window);
  spark.dataset.course = course;
  write(note, contextWords(one));
}

function contextWords(one) {
  const tokens = (number) => count(number, one.estimated), share = Math.round((100 * one.input_tokens) / one.window);
  const words = [`${tokens(one.input_tokens)} of ${count(one.window)} tokens (${share} %)`, `peak ${tokens(one.peak_input_tokens)}`];
  if (one.turns_left !== null) words.push(`about ${several(one.turns_left, "turn")} left`);
  if (one.prunes) words.push(`cut ${several(one.prunes, "time")}`);
  return words.join(", ");
}
