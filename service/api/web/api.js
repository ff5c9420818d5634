// What the page asks the service: two calls, and the words for when they fail.

export class Problem extends Error {
  /** A failure worth showing: the service's own problem details, or that it was not reached. */
  constructor({ title, detail, status = 0, code = "unreachable", request_id: requestId = "" }) {
    super(detail || title);
    Object.assign(this, { title, detail, status, code, requestId });
  }
}

async function call(path, options) {
  let response;
  try {
    response = await fetch(path, options);
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
  return { body, timing: readTiming(response.headers.get("server-timing")) };
}

/** The served index, model and attributes. */
export async function info() {
  return (await call("info")).body;
}

/** Ranked items with `timing`; an aborted call rejects with AbortError. */
export async function recommend(query, signal) {
  const { body, timing } = await call("recommend", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(query),
    signal,
  });
  return { ...body, timing };
}

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
