// The list of turns: the latest that the server remembers, the newest first.

import { at, keep, make } from "./keep.js";
import { clock, count, outcome, span } from "./words.js";

const MOST = 200;
const turns = new Map();

// `all` takes the place of what was known: another server's turns, or another key's, are not among them.
export function learn(told, all) {
  if (all) turns.clear();
  for (const turn of told) turns.set(turn.id, turn);
  for (const id of turns.keys()) {
    if (turns.size <= MOST) break;
    turns.delete(id);
  }
  if (!all && !told.length) return;
  const newest = [...turns.values()].sort((a, b) => b.at - a.at);
  keep(at("turns").tBodies[0], newest, (turn) => turn.id, row);
}

function row(turn) {
  const button = make("button", "", clock(turn.at));
  button.setAttribute("aria-label", `${button.textContent}, ${outcome(turn).slice(2)}, ${turn.model}: show this turn`);
  const answerer = turn.answered_by || turn.target;
  const told = turn.model.endsWith(answerer) || answerer === "default";
  const who = [turn.client || "unnamed", turn.upstream, told ? "" : `by ${answerer}`];
  // on a phone the outcome stands below the time, and has no column of its own
  const ended = make("span", `narrow ${turn.verdict}`, outcome(turn));
  return make("tr", "",
    make("td", "when", button, ended, make("span", "narrow quiet", span(turn.total_ms))),
    make("td", `wide ${turn.verdict}`, outcome(turn)),
    make("td", "name", make("span", "", turn.model), make("span", "quiet", who.filter(Boolean).join(" · "))),
    make("td", "number wide", span(turn.first_ms)),
    make("td", "number wide", span(turn.total_ms)),
    make("td", "number wide", count(turn.input, turn.estimated)),
    make("td", "number wide", count(turn.output, turn.estimated)),
    make("td", "changes wide", turn.changes.join("; ")),
  );
}

// A click anywhere in a row opens its turn, but for the one that ends a selection of its text.
export function whenChosen(open) {
  at("turns").tBodies[0].addEventListener("click", (event) => {
    const turn = turns.get(event.target.closest("tr")?.dataset.key);
    const button = event.target.closest("button");
    if (!turn || (!button && !getSelection().isCollapsed)) return;
    (button ?? event.target.closest("tr").querySelector("button")).focus();
    open(turn);
  });
}
