// The form that asks for a key.

import { asked } from "./feed.js";
import { at, write } from "./keep.js";

export const entering = () => !at("enter").hidden;

export function askForKey() {
  if (entering()) return;
  at("enter").hidden = false;
  at("board").hidden = true;
  at("key").focus();
}

// `entered` is called when the server took the key.
export function takeKeys(entered) {
  at("enter").addEventListener("submit", async (event) => {
    event.preventDefault();
    const { trouble, status } = await asked("dashboard/enter", {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ key: at("key").value }),
    });
    at("key").value = "";
    write(at("refused"), !trouble ? "" : status === 401 ? "That is none of the keys." : trouble);
    if (!trouble) entered();
    else at("key").focus();
  });
}
