// Builds what is seen. Text of the server enters the page as text only, never as markup.

/** An element with properties and children; strings become text. */
export function el(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("aria-") || name === "role") element.setAttribute(name, value);
    else element[name] = value;
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

const number = new Intl.NumberFormat("en");

export const count = (value) => number.format(value);

export function milliseconds(value) {
  return value < 10 ? `${value.toFixed(1)} ms` : `${Math.round(value)} ms`;
}

function price(attributes) {
  if (typeof attributes.price !== "number") return null;
  return `${attributes.price.toFixed(2)} ${attributes.currency ?? ""}`.trim();
}

function mainCategory(attributes) {
  const category = attributes.category;
  return Array.isArray(category) ? category[0] : category;
}

/** One recommended item. `act` is called with an action and the item. */
function card(item, move, greatest, act) {
  const attributes = item.attributes ?? {};
  const title = attributes.title ?? item.item_id;
  const about = [mainCategory(attributes), attributes.brand, price(attributes)];
  const reason = item.explanations[0]?.text;
  const share = greatest > 0 ? Math.max(0, item.score / greatest) : 0;
  return el("li", {},
    el("article", { className: move === undefined ? "card" : "card changed" },
      el("header", {},
        el("span", { className: "rank" }, `#${item.rank}`),
        move === undefined ? null : el("span", { className: "move" }, move)),
      el("h3", {}, title),
      el("p", { className: "about" }, about.filter(Boolean).join(" · ")),
      reason === undefined ? null : el("p", { className: "reason" }, reason),
      el("meter", { min: 0, max: 1, value: share, "aria-label": `score ${item.score.toFixed(3)}` }),
      el("p", { className: "sources" }, `${item.score.toFixed(3)} from ${item.sources.join(", ")}`),
      el("div", { className: "actions" },
        el("button", { className: "main", "aria-label": `Look at ${title}`, onclick: () => act("look", item) }, "Look at it"),
        el("button", { "aria-label": `Add ${title} to the cart`, onclick: () => act("add_to_cart", item) }, "Add to cart"),
        el("button", { "aria-label": `Not for me: ${title}`, onclick: () => act("dislike", item) }, "Not for me"))));
}

/** Shows a list; `moves` says which items are marked, and why. */
export function showCards(list, items, moves, act) {
  const greatest = Math.max(0, ...items.map((item) => item.score));
  list.replaceChildren(...items.map((item) => card(item, moves.get(item.item_id), greatest, act)));
  if (items.length === 0) {
    list.append(el("li", { className: "quiet" }, "Nothing to recommend yet: the catalogue is empty."));
  }
}

export function showGone(place, titles) {
  place.textContent = titles.length === 0 ? "" : `No longer here: ${titles.join(", ")}.`;
}

export function showModel(place, answer) {
  const parts = [`as of epoch ${count(answer.model.epoch)}`];
  if (answer.model.user_epoch !== null) parts.push(`the user as of ${count(answer.model.user_epoch)}`);
  if (answer.model.lineage !== null) parts.push(`lineage ${answer.model.lineage.slice(0, 12)}`);
  if (answer.fallback !== null) parts.push(`fallback: ${answer.fallback.tier} (${answer.fallback.reason})`);
  place.textContent = parts.join(" · ");
}

export function showSpeed(place, took) {
  if (took === null) return place.replaceChildren();
  place.replaceChildren(
    el("strong", {}, milliseconds(took.visible)),
    `from event to changed answer (durable after ${milliseconds(took.accepted)})`);
}

/** Most viewed items that are shown. */
export const SHOWN_VIEWS = 8;

/** What is known of the user; `features` is null for someone never seen. */
export function showSession(place, features, titleOf) {
  if (features === null) {
    return place.replaceChildren(el("p", { className: "quiet" }, "Nothing yet: popular items are shown."));
  }
  const session = features.session_context;
  const range = features.preferences.price_range;
  const facts = [
    ["Now in", session?.current_category],
    ["Pages this visit", session === null ? null : count(session.page_views_in_session)],
    ["Likes", features.preferences.categories.slice(0, 4).join(", ")],
    ["Brands", features.preferences.brands.slice(0, 4).join(", ")],
    ["Prices", range === null ? null : `${range[0].toFixed(2)} to ${range[1].toFixed(2)}`],
    ["Events so far", count(features.history_length)],
  ].filter(([, value]) => value);
  const views = features.recent_views.slice(0, SHOWN_VIEWS);
  place.replaceChildren(
    el("dl", { className: "facts" }, ...facts.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)])),
    views.length === 0 ? "" : el("h3", {}, "Viewed last"),
    el("ul", { className: "chips" },
      ...views.map((id, at) => el("li", { className: at === 0 ? "first" : "" }, titleOf(id)))));
}

export function showPersonas(place, personas, selected, choose) {
  place.replaceChildren(...personas.map((persona) =>
    el("button", { type: "button", "aria-pressed": String(persona.user_id === selected), onclick: () => choose(persona.user_id) },
      persona.name, el("span", {}, persona.description))));
}

export function showPopular(place, items) {
  place.replaceChildren(...items.map((item) => el("li", {}, item.attributes.title ?? item.item_id)));
}

const KEPT_ENTRIES = 12;

export function log(place, text) {
  const now = new Date();
  place.prepend(el("li", {}, el("time", { dateTime: now.toISOString() }, now.toLocaleTimeString()), ` ${text}`));
  while (place.childElementCount > KEPT_ENTRIES) place.lastElementChild.remove();
}
