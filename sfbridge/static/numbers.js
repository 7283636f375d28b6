// The numbers, each under the heading that says of which turns it is: now, of the last 15 minutes, since the start.

import { drawMinutes, ended } from "./drawing.js";
import { at, keep, make, write } from "./keep.js";
import { count, several, span, within } from "./words.js";

const LATELY_MINUTES = 5;
let minutes = [];
let drawn = "";

export function showNumbers(stats) {
  minutes = stats.minutes;
  tiles("now", nowTiles(stats));
  write(at("lately-sample"), sampleWords(stats.overall.total.n));
  tiles("lately", [
    ["First word", span(stats.overall.first.p50), within(stats.overall.first)],
    ["Whole answer", span(stats.overall.total.p50), within(stats.overall.total)],
    ["Wait in the queue", span(stats.overall.queued.p50), within(stats.overall.queued)],
  ]);
  tiles("ever", everTiles(stats));
  showMinutes();
}

function tiles(id, told) {
  const build = ([name]) => make("div", "", make("dt", "", name), make("dd"), make("dd"));
  keep(at(id), told, ([name]) => name, build, (tile, [, value, note]) => {
    write(tile.children[1], value);
    write(tile.children[2], note);
  });
}

const sum = (things, number) => things.reduce((total, thing) => total + number(thing), 0);

function nowTiles({ running, gates }) {
  const endedIn = (ago) => sum(minutes.filter((one) => one.ago === ago), ended);
  const lately = minutes.filter((one) => one.ago < LATELY_MINUTES);
  const failed = sum(lately, (one) => one.failed), all = sum(lately, ended);
  const doors = Object.values(gates), waiting = sum(doors, (gate) => gate.waiting);
  const waited = sum(doors, (gate) => gate.queued), away = sum(doors, (gate) => gate.full + gate.late);
  return [
    ["Under way", count(running.length), running.length ? "listed below" : "nothing is"],
    ["In the queue", count(waiting), `${count(waited)} waited since the start, ${count(away)} turned away`],
    ["Ended this minute", count(endedIn(0)), `${count(endedIn(1))} in the minute before`],
    all
      ? ["Failed lately", `${Math.round((100 * failed) / all)} %`, `${count(failed)} of ${several(all, "turn")} in ${LATELY_MINUTES} minutes`]
      : ["Failed lately", "–", `no turn in ${LATELY_MINUTES} minutes`],
  ];
}

// Percentiles are of the latest turns, should there be very many.
function sampleWords(known) {
  if (!known) return "No whole turn yet.";
  const latest = known < sum(minutes, (one) => one.whole) ? "the latest " : "";
  return `Half of ${latest}${several(known, "whole turn")} took at most:`;
}

function everTiles({ overall: all, refusals }) {
  const { whole = 0, left = 0 } = all.outcomes, failed = all.turns - whole - left;
  const counted = all.estimated ? `${several(all.estimated, "turn")} estimated` : "as reported";
  const cached = all.cache_read ? `and ${count(all.cache_read)} from caches, ` : "";
  const refused = Object.keys(refusals).join(", ").replaceAll("_", " ");
  return [
    ["Turns", count(all.turns), `${count(whole)} whole, ${count(failed)} failed, ${count(left)} left by their client`],
    ["Tokens in", count(all.input, all.estimated), cached + counted],
    ["Tokens out", count(all.output, all.estimated), counted],
    ["Retries", count(all.retries), "calls repeated after a refusal"],
    ["Asked again", count(all.rounds), several(all.rounds, "faulty answer")],
    ["Repairs", count(all.repairs), "lossless corrections of calls"],
    ["Downgrades", count(all.downgrades), "answers replayed as a stream, or made JSON"],
    ["Refused", count(sum(Object.values(refusals), Number)), refused || "requests that never became a turn"],
  ];
}

// ---- the last minutes, drawn and as a table

export function showMinutes() {
  const now = `${at("plot").clientWidth} ${JSON.stringify(minutes)}`;
  if (now === drawn) return;
  drawn = now;
  drawMinutes(at("plot"), minutes);
  write(at("plot-words"), minutesWords());
  const build = () => make("tr", "", make("td"), ...Array.from({ length: 5 }, () => make("td", "number")));
  keep(at("minutes").tBodies[0], minutes.toReversed(), (one) => one.ago, build, (row, one) => {
    const told = [one.ago, one.whole, one.failed, one.left, span(one.first.p50), span(one.total.p50)];
    told.forEach((text, place) => write(row.children[place], text));
  });
}

function minutesWords() {
  const [all, whole, failed, left] = [ended, (one) => one.whole, (one) => one.failed, (one) => one.left].map((of) => sum(minutes, of));
  if (!all) return "No turn ended in this time.";
  return (
    `${several(all, "turn")} ended: ${count(whole)} whole, ${count(failed)} failed (▲), ${count(left)} left by their client; ` +
    "below, a bar for each minute. Above, of each minute's whole turns: the dot is what half took, " +
    "the line reaches to what 9 of 10 took, the dash is the first word of half."
  );
}
