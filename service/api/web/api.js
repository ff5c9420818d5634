// What the page asks the service, with the visitor's key where it wants one, and how it fails.

const KEY = "magpie.key";

export class Problem extends Error {
  /** A failure worth showing: the service's own problem details, or that it was not reached. */
  constructor({ title, detail, status = 0, code = "unreachable", request_id: requestId = "" }) {
    super(detail || title);
    Object.assign(this, { title, detail, status, code, requestId });
  }
}

/** The key that this tab sends along, null where there is none. */
export const heldKey = () => sessionStorage.getItem(KEY);

/** Send this key along from now on, until the tab is closed; null forgets it. */
export function holdKey(key) {
  if (key) sessionStorage.setItem(KEY, key);
  else sessionStorage.removeItem(KEY);
}

async function call(path, { headers = {}, ...options } = {}) {
  const key = heldKey();
  const sent = key ? { ...headers, authorization: `Bearer ${key}` } : headers;
  let response;
  try {
    response = await fetch(path, { ...options, headers: sent });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem({
      title: "The service did not answer",
      detail: "It may be restarting, or the connection was lost.",
    });
  }
  const body = await response.json().catch(() => null);
  if (!response.ok || body === null) {
    throw new Problem({ title: "The service could not answer", status: response.status, ...body });
  }
  return { ...body, timing: readTiming(response.headers.get("server-timing")) };
}

/** The served index, model and attributes. */
export const info = () => call("info");

const post = (path) => (query, signal) =>
  call(path, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(query),
    signal,
  });

/** Ranked items with `timing`; an aborted call rejects with AbortError. */
export const recommend = post("recommend");

/** The items of a given list, in its order where nothing is liked; the unknown are `missing`. */
export const rank = post("rank");

/** "total;dur=1.92, cache;desc=miss" → {stages: [["total", 1.92]], cache: "miss"}. */
export function readTiming(header) {
  const timing = { stages: [], cache: null };
  for (const part of (header ?? "").split(",")) {
    const [name, ...parameters] = part.trim().split(";");
    for (const parameter of parameters) {
      const [key, value = ""] = parameter.trim().split("=");
      if (key === "dur") timing.stages.push([name, Number(value)]);
      if (key === "desc" && name === "cache") timing.cache = value.replaceAll('"', "");
    }
  }
  return timing;
}
