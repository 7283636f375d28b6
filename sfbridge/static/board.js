// The board but for its turns: health, upstreams, numbers, what is under way, and conversations.

import { drawCourse, drawing, drawMinutes, ended } from "./drawing.js";
import { at, keep, keepPairs, make, mark, write } from "./keep.js";
import { clock, count, lasting, several, span, within } from "./words.js";

const HEALTH = {
  ready: ["● ready", "ready"], troubled: ["◆ ready, with troubles", "warned"], partly: ["▲ partly ready", "warned"],
  down: ["▲ not ready", "down"], stopping: ["◆ stopping", "warned"], unknown: ["? unknown", "unknown"], locked: ["◇ asks for a key", "unknown"],
};
const LATELY_MINUTES = 5;
const tokenLives = new Map();
let board = null;
let heard = 0;
let bad = null;

export function show(look) {
  board = look;
  heard = Date.now();
  news(look);
  at("sandbox").hidden = !look.sandbox.length;
  write(at("sandbox"), sandboxWords(look));
  write(at("about"), `version ${look.stats.version}, up for ${lasting(look.stats.uptime_seconds)}`);
  keep(at("upstreams"), Object.entries(look.upstreams), ([name]) => name, buildCard, fillCard);
  tiles("now", nowTiles(look.stats));
  tiles("lately", latelyTiles(look.stats.overall));
  tiles("ever", everTiles(look.stats));
  write(at("lately-sample"), latelyWords(look.stats));
  showRunning();
  showContexts(look);
  showMinutes(look.stats.minutes);
}

// ---- health and troubles

// Bad news waits two seconds, because a reload of the configuration unsettles everything for a moment.
function news(look) {
  const settled = at("health").dataset.state;
  if (["ready", "stopping", settled].includes(look.state) || [undefined, "unknown", "locked"].includes(settled)) tell(look);
  else bad ??= setTimeout(() => tell(board), 2000);
}

function tell({ state, troubles }) {
  clearTimeout(bad);
  bad = null;
  at("health").dataset.state = state;
  write(at("health"), HEALTH[state][0]);
  mark(at("health"), `pill ${HEALTH[state][1]}`);
  if (troubles) keep(at("troubles"), troubles, (trouble) => trouble, (trouble) => make("li", "", trouble));
}

// What stands here is old: say since when, and make it look so.
export function goStale() {
  if (at("board").classList.contains("stale")) return;
  const stopped = board?.state === "stopping" ? "the server was stopped, " : "";
  write(at("feed"), heard ? `${stopped}not connected since ${clock(new Date(heard))}, trying again…` : "not connected, trying again…");
  tell({ state: "unknown" });
  at("board").classList.add("stale");
}

export function goLocked() {
  write(at("feed"), "");
  tell({ state: "locked" });
}

export function goLive() {
  at("board").classList.remove("stale");
  write(at("feed"), "live");
}

function sandboxWords({ sandbox, upstreams }) {
  const own = "For real models, set your own org in config.toml.";
  if (sandbox.length === Object.keys(upstreams).length) return `Answers come from the built-in sandbox org. ${own}`;
  return `The answers of ${sandbox.join(" and ")} come from the built-in sandbox org. ${own}`;
}

// ---- upstreams

function buildCard([name]) {
  const token = make("p", "token", make("span", "quiet"), make("meter"));
  token.lastChild.setAttribute("aria-label", `Life of the token of ${name}`);
  return make("article", "", make("h3", "", make("span", "", name), make("span")), token, make("p", "quiet"), make("dl"));
}

function fillCard(card, [name, upstream]) {
  const [head, token, summary, facts] = card.children;
  write(head.lastChild, upstream.ready ? "● ready" : "▲ not ready");
  mark(head.lastChild, upstream.ready ? "ready" : "down");
  showToken(token, name, upstream.facts);
  write(summary, upstream.summary);
  const { token_expires_in: _, ...rest } = upstream.facts;
  const told = Object.entries(rest).filter(([, value]) => value !== "").map(([key, value]) => [key.replaceAll("_", " "), factWords(value)]);
  keepPairs(facts, [...told, ...loadOf(board.stats.upstreams[name], board.stats.gates[name])]);
}

// A full bar is half an hour, a Salesforce token's usual life, or the longest that was seen.
function showToken(token, name, facts) {
  const left = facts.token_expires_in, [words, meter] = token.children;
  token.hidden = left === undefined;
  meter.hidden = left === null;
  write(words, left === null ? "no token held" : `token good for ${lasting(Math.max(0, left ?? 0))}`);
  if (typeof left !== "number") return;
  const most = Math.max(1800, left, tokenLives.get(name) ?? 0);
  tokenLives.set(name, most);
  Object.assign(meter, { min: 0, max: most, value: Math.max(0, left) });
}

const factWords = (value) => (value === null ? "not known yet" : value === true ? "yes" : value === false ? "no" : String(value));

function loadOf(share, gate) {
  const rows = [];
  if (gate) rows.push(["in flight", gate.limit ? `${gate.in_flight} of ${gate.limit}, ${gate.waiting} waiting` : gate.in_flight]);
  if (!share) return rows;
  const whole = share.outcomes.whole ?? 0, left = share.outcomes.left ?? 0, failed = share.turns - whole - left;
  rows.push(["turns", `${count(share.turns)}: ${count(whole)} whole, ${count(failed)} failed${left ? `, ${count(left)} left` : ""}`]);
  if (share.first.n) rows.push(["first word", `${span(share.first.p50)}, 9 of 10 within ${span(share.first.p90)}`]);
  if (share.total.n) rows.push(["whole answer", `${span(share.total.p50)}, 9 of 10 within ${span(share.total.p90)}`]);
  return rows;
}

// ---- numbers

function tiles(id, told) {
  keep(at(id), told, ([name]) => name, ([name]) => make("div", "", make("dt", "", name), make("dd"), make("dd")), (tile, [, value, note]) => {
    write(tile.children[1], value);
    write(tile.children[2], note);
  });
}

function nowTiles(stats) {
  const minutes = stats.minutes, gates = Object.values(stats.gates);
  const in_ = (ago) => minutes.filter((one) => one.ago === ago).reduce((sum, one) => sum + ended(one), 0);
  const lately = minutes.filter((one) => one.ago < LATELY_MINUTES);
  const failed = lately.reduce((sum, one) => sum + one.failed, 0), all = lately.reduce((sum, one) => sum + ended(one), 0);
  const sum = (name) => gates.reduce((total, gate) => total + gate[name], 0);
  return [
    ["Under way", count(stats.running.length), stats.running.length ? "listed below" : "nothing is"],
    ["In the queue", count(sum("waiting")), `${count(sum("queued"))} waited since the start, ${count(sum("full") + sum("late"))} turned away`],
    ["Ended this minute", count(in_(0)), `${count(in_(1))} in the minute before`],
    ["Failed lately", all ? `${Math.round((100 * failed) / all)} %` : "–", all ? `${count(failed)} of ${several(all, "turn")} in ${LATELY_MINUTES} minutes` : `no turn in ${LATELY_MINUTES} minutes`],
  ];
}

function latelyTiles(all) {
  return [
    ["First word", span(all.first.p50), within(all.first)],
    ["Whole answer", span(all.total.p50), within(all.total)],
    ["Wait in the queue", span(all.queued.p50), within(all.queued)],
  ];
}

function latelyWords({ overall, minutes }) {
  const whole = minutes.reduce((sum, one) => sum + one.whole, 0);
  const sample = overall.total.n < whole ? `the latest ${count(overall.total.n)} whole turns` : several(overall.total.n, "whole turn");
  return overall.total.n ? `Half of ${sample} took at most:` : "No whole turn yet.";
}

function everTiles({ overall: all, refusals }) {
  const whole = all.outcomes.whole ?? 0, left = all.outcomes.left ?? 0, failed = all.turns - whole - left;
  const counted = all.estimated ? `${several(all.estimated, "turn")} estimated` : "as reported";
  const cached = all.cache_read ? `and ${count(all.cache_read)} from caches, ` : "";
  return [
    ["Turns", count(all.turns), `${count(whole)} whole, ${count(failed)} failed, ${count(left)} left by their client`],
    ["Tokens in", count(all.input, all.estimated), cached + counted],
    ["Tokens out", count(all.output, all.estimated), counted],
    ["Retries", count(all.retries), "calls repeated after a refusal"],
    ["Asked again", count(all.rounds), all.rounds === 1 ? "1 faulty answer" : `${count(all.rounds)} faulty answers`],
    ["Repairs", count(all.repairs), "lossless corrections of calls"],
    ["Downgrades", count(all.downgrades), "answers replayed as a stream, or made JSON"],
    ["Refused", count(Object.values(refusals).reduce((a, b) => a + b, 0)), Object.keys(refusals).join(", ").replaceAll("_", " ") || "requests that never became a turn"],
  ];
}

// ---- the last minutes

let drawn = "";

function showMinutes(minutes) {
  const asDrawn = JSON.stringify(minutes) + at("plot").clientWidth;
  if (asDrawn === drawn) return;
  drawn = asDrawn;
  drawMinutes(at("plot"), minutes);
  const sum = (kind) => minutes.reduce((total, one) => total + one[kind], 0);
  const [whole, failed, left] = ["whole", "failed", "left"].map(sum);
  write(at("plot-words"), whole + failed + left
    ? `${several(whole + failed + left, "turn")} ended: ${count(whole)} whole, ${count(failed)} failed (▲), ${count(left)} left by their client; below, a bar for each minute. Above, of each minute's whole turns: the dot is what half took, the line reaches to what 9 of 10 took, the dash is the first word of half.`
    : "No turn ended in this time.");
  keep(at("minutes").tBodies[0], minutes.toReversed(), (one) => one.ago, () => make("tr", "", ...Array.from({ length: 6 }, (_, place) => make("td", place ? "number" : ""))),
    (row, one) => [one.ago, one.whole, one.failed, one.left, span(one.first.p50), span(one.total.p50)].forEach((text, place) => write(row.children[place], text)));
}

export function redraw() {
  if (board) showMinutes(board.stats.minutes);
}

// ---- what is under way

const PHASES = { planned: "being prepared", queued: "waiting in the queue", asked: "asked, not accepted yet", accepted: "accepted, no word yet", answering: "answering" };

// Called again every second: turns grow older without the server saying so.
export function showRunning() {
  if (!board || at("board").classList.contains("stale")) return;
  const since = Date.now() - heard;
  keep(at("running").tBodies[0], board.stats.running, (turn) => turn.id, () => make("tr", "", make("td", "name", make("span"), make("span", "quiet")), make("td", "phase"), make("td", "number")), (row, turn) => {
    const [model, who] = row.children[0].children;
    write(model, turn.model);
    write(who, [turn.client || "unnamed", turn.upstream].filter(Boolean).join(" · "));
    const more = [PHASES[turn.phase]];
    if (turn.retries) more.push(`refused ${several(turn.retries, "time")}`);
    if (turn.rounds) more.push(`asked again ${several(turn.rounds, "time")}`);
    write(row.children[1], more.join(", "));
    write(row.children[2], span(Math.floor((turn.elapsed_ms + since) / 100) * 100));
  });
}

// ---- conversations

const LEVELS = { warning: ["◆ warning: over 75 % full", "warned"], high: ["▲ high: over 85 % full", "warned"], critical: ["▲ critical: over 95 % full, or refused as too long", "down"] };

function showContexts(look) {
  keep(at("contexts"), look.contexts, (one) => one.conversation, () => {
    const words = make("p", "head", make("span"), make("span"));
    return make("li", "", words, make("meter"), drawing("spark"), make("p", "quiet"));
  }, fillContext);
  at("contexts-more").hidden = !look.contexts_more;
  write(at("contexts-more"), `and ${count(look.contexts_more)} more: GET /v1/context`);
}

function fillContext(item, one) {
  const [head, meter, spark, note] = item.children, tokens = (number) => count(number, one.estimated);
  const [level, kind] = LEVELS[one.level] ?? ["", ""];
  write(head.firstChild, one.model === "default" ? one.conversation : `${one.conversation}, ${one.model}`);
  write(head.lastChild, level);
  mark(head.lastChild, kind);
  meter.setAttribute("aria-label", `Window of ${one.conversation}`);
  Object.assign(meter, { min: 0, max: one.window, low: one.window * 0.75, high: one.window * 0.95, optimum: 0, value: one.input_tokens });
  const course = one.course.join(" ");
  if (spark.dataset.course !== course && one.course.length > 1) drawCourse(spark, one.course, one.window);
  spark.dataset.course = course;
  const more = [`${tokens(one.input_tokens)} of ${count(one.window)} tokens (${Math.round((100 * one.input_tokens) / one.window)} %)`, `peak ${tokens(one.peak_input_tokens)}`];
  if (one.turns_left !== null) more.push(`about ${several(one.turns_left, "turn")} left`);
  if (one.prunes) more.push(`cut ${several(one.prunes, "time")}`);
  write(note, more.join(", "));
}
