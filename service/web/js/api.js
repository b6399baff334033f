// The server: JSON, server-sent events over POST, and its error objects.

const KEY = "maskserve-key";
const CONNECTIONS = 4; // browsers open six to one host; the engine view takes one, one stays free for the rest

export class ApiError extends Error {
  constructor(status, error = {}, retryAfter = null) {
    super(error.message || `The server answered ${status}.`);
    this.status = status;
    this.param = error.param || null;
    this.code = error.code || null;
    this.retryAfter = retryAfter;
  }
}

export const key = {
  get: () => sessionStorage.getItem(KEY) || "",
  set: (value) => (value ? sessionStorage.setItem(KEY, value) : sessionStorage.removeItem(KEY)),
};

const headers = () => (key.get() ? { authorization: `Bearer ${key.get()}` } : {});

async function checked(response) {
  if (response.ok) return response;
  const body = await response.json().catch(() => ({}));
  throw new ApiError(response.status, body.error, response.headers.get("retry-after"));
}

async function ask(path, init) {
  try {
    return await checked(await fetch(path, { ...init, headers: { ...headers(), ...(init?.headers || {}) } }));
  } catch (error) {
    if (error instanceof TypeError) throw new ApiError(0, { message: "The server cannot be reached." });
    throw error;
  }
}

/** JSON in which a seed that was given as digits is a number: JavaScript's own end at 2^53, seeds at 2^63. */
export const toJson = (body) => JSON.stringify(body).replace(/"seed":"(\d+)"/, '"seed":$1');

export const getJson = async (path, signal) => (await ask(path, { signal })).json();

/** A file, as a Blob. */
export const saved = async (path) => (await ask(path)).blob();

/** Events of a stream, as parsed JSON. Throws ApiError, also for an error event. */
export async function* events(path, { body, signal } = {}) {
  const init = { signal };
  if (body instanceof FormData) Object.assign(init, { method: "POST", body });
  else if (body) Object.assign(init, { method: "POST", body: toJson(body), headers: { "content-type": "application/json" } });
  const response = await ask(path, init);
  for await (const event of parse(response.body)) {
    if (event.type === "error") throw new ApiError(500, event.error);
    yield event;
  }
}

async function* parse(stream) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      const blocks = (rest + value).split(/\r\n\r\n|\n\n/);
      rest = blocks.pop();
      for (const block of blocks) {
        const data = block.split(/\r?\n/).filter((line) => line.startsWith("data:")).map((line) => line.slice(5));
        if (data.length) yield JSON.parse(data.join("\n"));
      }
    }
  } catch (error) {
    if (error instanceof TypeError) throw new ApiError(0, { message: "The connection broke off." });
    throw error;
  } finally {
    reader.cancel().catch(() => {});
  }
}

// Browsers queue requests beyond six connections where nobody sees it; here the queue is visible.
let open = 0;
const queue = [];

/** Waits for a free connection; call the result to give it back. */
export async function connection(signal) {
  if (open >= CONNECTIONS) {
    await new Promise((go, stop) => {
      queue.push(go);
      signal.addEventListener("abort", () => {
        const at = queue.indexOf(go);
        if (at >= 0) {
          queue.splice(at, 1);
          stop(signal.reason);
        }
      });
    });
  } else open += 1;
  let held = true;
  return () => {
    if (!held) return;
    held = false;
    const next = queue.shift();
    if (next) next();
    else open -= 1;
  };
}
