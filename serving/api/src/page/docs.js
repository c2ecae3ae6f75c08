// The page at /docs: a list of the routes of openapi.json.

import { el } from "./view.js";

function typeOf(schema = {}) {
  if (schema.$ref) return schema.$ref.split("/").pop();
  if (schema.enum) return schema.enum.join(" | ");
  return [schema.type].flat().filter(Boolean).join(" or ");
}

function limits(schema = {}) {
  const parts = [];
  if (schema.minimum !== undefined) parts.push(`from ${schema.minimum}`);
  if (schema.maximum !== undefined) parts.push(`to ${schema.maximum}`);
  if (schema.default !== undefined) parts.push(`default ${schema.default}`);
  return parts.join(" ");
}

function parameters(list = []) {
  if (list.length === 0) return null;
  return el("table", {}, ...list.map((parameter) => el("tr", {},
    el("th", { scope: "row" }, el("code", {}, parameter.name)),
    el("td", {}, `${typeOf(parameter.schema)} ${limits(parameter.schema)}`),
    el("td", {}, parameter.description ?? ""))));
}

function statuses(responses) {
  return Object.keys(responses).filter((status) => status !== "default").join(", ");
}

function route(path, method, operation) {
  return el("li", {},
    el("h2", {}, el("code", {}, `${method.toUpperCase()} ${path}`)),
    el("p", {}, `${operation.summary}. Answers ${statuses(operation.responses)}.`),
    operation.description ? el("p", { className: "quiet" }, operation.description) : null,
    operation.requestBody?.description ? el("p", { className: "quiet" }, operation.requestBody.description) : null,
    parameters(operation.parameters));
}

async function start() {
  const description = await (await fetch("/openapi.json")).json();
  const routes = Object.entries(description.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => route(path, method, operation)));
  document.getElementById("routes").replaceChildren(...routes);
}

start().catch((error) => {
  const place = document.getElementById("error");
  place.hidden = false;
  place.textContent = error.message;
});
