// The page: takes what the feed says to those who show it, and clicks to the dialog.

import { showBoard, showRunning } from "./board.js";
import { askForKey, entering, takeKeys } from "./entering.js";
import { Feed } from "./feed.js";
import { goLocked, goStale, showHealth } from "./health.js";
import { at } from "./keep.js";
import { showMinutes, showNumbers } from "./numbers.js";
import { drawStory, openTurn } from "./story.js";
import { learn, whenChosen } from "./turns.js";

let version = "";
let entered = false;
let pressed = false;
let held = [];
let lost = null;

// A new version of the server brings a new page.
function look(board, first) {
  version ||= board.stats.version;
  if (board.stats.version !== version) return location.reload();
  clearTimeout(lost);
  lost = null;
  held.push([board, first]);
  if (!pressed) release();
}

function release() {
  for (const [board, first] of held) {
    if (entering()) at("enter").hidden = true;
    at("board").hidden = false;
    showHealth(board);
    showBoard(board);
    showNumbers(board.stats);
    learn(board.turns, first);
  }
  if (held.length && entered) at("upstreams-heading").focus();
  if (held.length) entered = false;
  held = [];
}

const feed = new Feed({
  look,
  // a reload of the configuration ends the feed too, and then it is back at once
  lost() { lost ??= setTimeout(goStale, 2000); },
  refused,
});

function refused() {
  clearTimeout(lost);
  lost = null;
  held = [];
  feed.leave();
  goLocked();
  askForKey();
}

// What is pressed must not move away from under the finger: until it is let go, nothing is written.
at("board").addEventListener("pointerdown", (event) => { pressed = event.button === 0; });
for (const end of ["pointerup", "pointercancel", "blur", "pointermove"]) {
  window.addEventListener(end, (event) => {
    // a pointer that moves unpressed was let go where nobody told
    if (!pressed || (end === "pointermove" && event.buttons)) return;
    pressed = false;
    setTimeout(release);
  });
}

takeKeys(() => {
  entered = true;
  feed.follow();
});
whenChosen(async (turn) => {
  if ((await openTurn(turn)) === 401) refused();
});
at("turn").addEventListener("close", () => { if (entering()) at("key").focus(); });
window.addEventListener("resize", () => { showMinutes(); drawStory(); });
setInterval(() => { if (!pressed) showRunning(); }, 1000);
feed.follow();
