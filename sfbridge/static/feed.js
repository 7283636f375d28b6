// Following the server: one connection while the page is looked at, a new one when it ends or falls silent.

// The server speaks at least every 6 seconds; one that is silent for longer is gone, whatever the connection seems to be.
const SILENT_MS = 12_000;
const AGAIN_MS = 3000;
const PATIENCE_MS = 8000;

// `listener.look(board, first)`: a message, `first` of its connection and then with all that is remembered;
// `listener.lost()`: nobody answers; `listener.refused()`: a key is wanted.
export class Feed {
  constructor(listener) {
    this.listener = listener;
    this.source = null;
    this.heard = 0;
    setInterval(() => this.watch(), 1000);
    document.addEventListener("visibilitychange", () => this.turnedTo());
  }

  follow() {
    this.leave();
    // a browser keeps six connections to a server, and tabs that nobody looks at would hold them all
    if (document.visibilityState === "hidden") return;
    const source = (this.source = new EventSource("dashboard/feed"));
    let first = true;
    this.heard = Date.now();
    source.addEventListener("open", () => { first = true; });
    source.addEventListener("look", (event) => {
      this.heard = Date.now();
      this.listener.look(JSON.parse(event.data), first);
      first = false;
    });
    source.addEventListener("error", () => this.failed(source));
  }

  leave() {
    this.source?.close();
    this.source = null;
  }

  watch() {
    if (!this.source || Date.now() - this.heard < SILENT_MS) return;
    this.listener.lost();
    this.follow();
  }

  turnedTo() {
    if (document.visibilityState === "hidden") this.leave();
    else if (!this.source) this.follow();
  }

  async failed(source) {
    if (source !== this.source) return;
    this.listener.lost();
    if (source.readyState !== EventSource.CLOSED) return;
    // the browser gives up on an answer that is no stream: a key is wanted, or a proxy is in the way
    const found = await fetch("dashboard/open", { signal: AbortSignal.timeout(PATIENCE_MS) }).catch(() => null);
    if (source !== this.source) return;
    if (found?.status === 401) this.listener.refused();
    else setTimeout(() => source === this.source && this.follow(), AGAIN_MS);
  }
}

// An answer of the server, or in `trouble` the words for why there is none.
export async function asked(path, options = {}) {
  let answer;
  try {
    answer = await fetch(path, { signal: AbortSignal.timeout(PATIENCE_MS), ...options });
  } catch (error) {
    const late = error.name === "TimeoutError";
    return { trouble: late ? `The server did not answer within ${PATIENCE_MS / 1000} s.` : "The server does not answer." };
  }
  const body = await answer.json().catch(() => null), status = answer.status;
  if (answer.ok && body) return { body };
  return { status, trouble: body?.error?.message ?? `The server answered with status ${status}, and did not say why.` };
}
