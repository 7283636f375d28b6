// One turn in full: its timeline, what happened, and what was said where that is kept.

import { drawTimeline, stepsOf, stepWords } from "./drawing.js";
import { asked } from "./feed.js";
import { at, make, write } from "./keep.js";
import { clock, outcome } from "./words.js";

let opened = "";
let steps = [];

const REASONS = {
  401: "The server asks for a key. Close this, and enter one.",
  404: "This turn is not remembered any more: the server keeps the latest ones only (journal.keep), and begins anew with each start.",
};

function moment(at) {
  const day = new Date(at * 1000).toLocaleDateString();
  return day === new Date().toLocaleDateString() ? clock(at) : `${clock(at)}, ${day}`;
}

// The dialog comes at once with what the list knows, and is filled when the server has answered; the status if it refused.
export async function openTurn(line) {
  opened = line.id;
  at("turn-heading").replaceChildren(make("span", line.verdict, outcome(line)), ` at ${moment(line.at)}`);
  at("seen").hidden = true;
  tell("");
  if (!at("turn").open) at("turn").showModal();
  at("turn").scrollTop = 0;
  const { body, status, trouble } = await asked(`dashboard/turns/${encodeURIComponent(line.id)}`);
  if (opened !== line.id) return undefined;
  if (trouble) tell(REASONS[status] ?? trouble);
  else show(body);
  return status;
}

function tell(trouble) {
  at("unseen").hidden = !trouble;
  write(at("unseen"), trouble);
}

function show({ turn, story }) {
  at("seen").hidden = false;
  steps = stepsOf(turn);
  write(at("timeline-words"), stepWords(steps));
  at("story").replaceChildren(...story.map((line) => make("li", "", line.replace(/^- /, ""))));
  at("contents").hidden = !turn.contents;
  said("asked", turn.contents?.asked);
  said("answered", [turn.contents?.answered, ...(turn.contents?.calls ?? [])].filter(Boolean).join("\n"));
  drawStory();
}

function said(id, words) {
  at(id).parentElement.hidden = !words;
  write(at(id), words ?? "");
}

export function drawStory() {
  if (at("turn").open && steps.length) drawTimeline(at("timeline"), steps);
}
