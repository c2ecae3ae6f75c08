// The server's routes as functions. Nothing here touches the page.

const KEY = "eddyline-key";

/** An error answer; `problem` is its RFC 9457 body when there is one. */
export class ApiError extends Error {
  constructor(status, problem) {
    super(problem?.detail ?? `the server answered ${status}`);
    this.status = status;
    this.problem = problem;
  }
}

export function setKey(key) {
  sessionStorage.setItem(KEY, key);
}

export function hasKey() {
  return sessionStorage.getItem(KEY) !== null;
}

async function ask(path, options = {}) {
  const headers = { ...options.headers };
  const key = sessionStorage.getItem(KEY);
  if (key !== null) headers.authorization = `Bearer ${key}`;
  const response = await fetch(path, { ...options, headers });
  const body = await response.json().catch(() => null);
  if (!response.ok) throw new ApiError(response.status, body);
  return body;
}

function query(members) {
  const known = Object.entries(members).filter(([, value]) => value !== undefined && value !== null);
  return new URLSearchParams(known).toString();
}

export const version = () => ask("/version");
export const personas = () => ask("/v1/demo/personas");
export const pipeline = () => ask("/v1/pipeline");
export const item = (id) => ask(`/v1/items/${encodeURIComponent(id)}`);
export const userFeatures = (id) => ask(`/v1/users/${encodeURIComponent(id)}/features`);
export const popular = (count) => ask(`/v1/popular?${query({ num_results: count })}`);

/** `after` is a consistency token: the server waits until the answer reflects it. */
export function recommendations(user, { count = 12, after, maxWaitMs } = {}) {
  const members = {
    user_id: user,
    context: "homepage",
    num_results: count,
    // The page compares one answer with the next; deliberate exploration would look like change.
    exploration: 0,
    attributes: "title,category,brand,price,currency",
    after,
    max_wait_ms: after === undefined ? undefined : maxWaitMs,
  };
  return ask(`/v1/recommendations?${query(members)}`);
}

export function sendEvents(events) {
  const headers = { "content-type": "application/json" };
  return ask("/v1/events", { method: "POST", headers, body: JSON.stringify({ events }) });
}

/** Calls `onReport` with each report of the pipeline: pushed if possible, else polled. */
export function followPipeline(onReport, onError) {
  const poll = async () => {
    try {
      onReport(await pipeline());
    } catch (error) {
      onError(error);
    }
    setTimeout(poll, 1000);
  };
  // A stream cannot carry a key.
  if (hasKey() || typeof EventSource === "undefined") return void poll();
  const stream = new EventSource("/v1/stream");
  stream.addEventListener("epoch", (message) => onReport(JSON.parse(message.data)));
  stream.addEventListener("error", () => {
    stream.close();
    poll();
  });
}
