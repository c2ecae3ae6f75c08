// The page at /: follows one user's session and recommendations, and sends real events.

import * as api from "./api.js";
import { compare } from "./compare.js";
import * as view from "./view.js";

const byId = (id) => document.getElementById(id);
const REFRESH_MS = 2000;
const POPULAR_MS = 5000;
const MAX_WAIT_MS = 2000;

const state = {
  user: null,
  personas: [],
  /** The last answer; null right after another user was chosen. */
  answer: null,
  /** Titles by item id. */
  titles: new Map(),
  /** True while an event is on its way: the refresh must not overtake it. */
  acting: false,
  samples: [],
};

/** 128 random bits as text; `crypto.randomUUID` is not there on plain HTTP beyond localhost. */
function randomId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function report(error) {
  byId("key-form").hidden = error.status !== 401;
  byId("error").hidden = false;
  byId("error").textContent = error.message;
}

function clearError() {
  byId("error").hidden = true;
}

const titleOf = (id) => state.titles.get(id) ?? id;

/** Looks up the titles that no answer has brought yet; an item without one is named by its id. */
async function lookUpTitles(ids) {
  const unknown = ids.filter((id) => !state.titles.has(id));
  const found = await Promise.allSettled(unknown.map(api.item));
  remember(found.filter((one) => one.status === "fulfilled").map((one) => one.value));
}

function remember(items) {
  for (const item of items) {
    if (item.attributes?.title) state.titles.set(item.item_id, item.attributes.title);
  }
}

/** Shows an answer, marked by what changed since the one before. Returns how many places did. */
function show(answer) {
  remember(answer.items);
  const first = state.answer === null;
  const { moves, gone, changed } = compare(first ? answer.items : state.answer.items, answer.items);
  // Rebuilding a list takes the focus away, so an unchanged one stays.
  if (first || changed > 0) {
    view.showCards(byId("cards"), answer.items, moves, act);
    view.showGone(byId("gone"), gone.map((item) => titleOf(item.item_id)));
  }
  view.showModel(byId("model"), answer);
  state.answer = answer;
  return changed;
}

async function showSession(user) {
  const features = await api.userFeatures(user).catch((error) => {
    if (error.status === 404) return null;
    throw error;
  });
  if (features !== null) await lookUpTitles(features.recent_views.slice(0, view.SHOWN_VIEWS));
  if (user === state.user) view.showSession(byId("session"), features, titleOf);
}

async function refresh() {
  const user = state.user;
  const answer = await api.recommendations(user);
  if (user !== state.user || state.acting) return;
  show(answer);
  await showSession(user);
  clearError();
}

async function choose(user) {
  state.user = user;
  state.answer = null;
  byId("user").value = user;
  view.showPersonas(byId("personas"), state.personas, user, choose);
  view.showSpeed(byId("speed"), null);
  try {
    await refresh();
  } catch (error) {
    report(error);
  }
}

/** The events of an action, attributed to the answer that showed the item. */
function eventsOf(action, item) {
  const common = {
    user_id: state.user,
    item_id: item.item_id,
    recommendation_id: state.answer.recommendation_id,
    position: item.rank,
    timestamp: new Date().toISOString(),
  };
  // Following a link is a click on the answer and a view of the item's page.
  const types = action === "look" ? ["click", "view"] : [action];
  return types.map((event_type) => ({ event_type, event_id: randomId(), ...common }));
}

const DONE = { look: "looked at", add_to_cart: "put into the cart", dislike: "turned down" };

/** Sends the events and times how soon an answer reflects them. */
async function act(action, item) {
  if (state.acting) return;
  state.acting = true;
  const user = state.user;
  const began = performance.now();
  try {
    const ingest = await api.sendEvents(eventsOf(action, item));
    const accepted = performance.now() - began;
    const answer = await api.recommendations(user, { after: ingest.consistency_token, maxWaitMs: MAX_WAIT_MS });
    const visible = performance.now() - began;
    if (user !== state.user) return;
    const changed = show(answer);
    byId("list").focus({ preventScroll: true });
    tell(action, item, answer, changed, { accepted, visible });
    await showSession(user);
    clearError();
  } catch (error) {
    report(error);
  } finally {
    state.acting = false;
  }
}

function tell(action, item, answer, changed, took) {
  const what = `${DONE[action]} ${titleOf(item.item_id)}`;
  const covered = answer.consistency && !answer.consistency.stale && answer.model.epoch >= answer.consistency.epoch;
  if (!covered) {
    view.log(byId("log"), `${what}: not in the answer within ${view.milliseconds(took.visible)}`);
    return;
  }
  view.showSpeed(byId("speed"), took);
  view.log(byId("log"), `${what}: ${changed} places changed after ${view.milliseconds(took.visible)}, epoch ${view.count(answer.model.epoch)}`);
}

/** Events per second over the last few seconds of reports. */
function onReport(pipeline) {
  const now = performance.now();
  state.samples.push({ now, accepted: pipeline.accepted });
  state.samples = state.samples.filter((sample) => now - sample.now < 4000);
  const first = state.samples[0];
  const seconds = (now - first.now) / 1000;
  if (seconds > 0.5) byId("rate").textContent = view.count(Math.round((pipeline.accepted - first.accepted) / seconds));
  byId("applied").textContent = view.count(pipeline.applied);
  byId("epoch").textContent = view.count(pipeline.committed_epoch);
  byId("lag").textContent = view.count(pipeline.lag);
}

/** Does `work` again and again, `pause` after it ended. */
function repeat(work, pause) {
  const round = async () => {
    if (!document.hidden) await work().catch(report);
    setTimeout(round, pause);
  };
  setTimeout(round, pause);
}

async function showPopular() {
  const list = await api.popular(12);
  remember(list.items);
  view.showPopular(byId("popular"), list.items);
}

const stranger = () => `visitor-${randomId().slice(0, 8)}`;

async function start() {
  const about = await api.version();
  byId("version").textContent = `${about.name} ${about.version}`;
  if (about.demo) {
    const demo = await api.personas();
    state.personas = demo.personas;
    byId("demo").hidden = false;
    byId("demo").textContent = `This is simulated data. ${demo.note}`;
  }
  await choose(state.personas[0]?.user_id ?? stranger());
  await showPopular().catch(report);
  api.followPipeline(onReport, report);
  repeat(() => (byId("live").checked && !state.acting ? refresh() : Promise.resolve()), REFRESH_MS);
  repeat(showPopular, POPULAR_MS);
}

byId("user-form").addEventListener("submit", (submitted) => {
  submitted.preventDefault();
  choose(byId("user").value.trim());
});
byId("stranger").addEventListener("click", () => choose(stranger()));
byId("key-form").addEventListener("submit", (submitted) => {
  submitted.preventDefault();
  api.setKey(byId("key").value);
  location.reload();
});

start().catch(report);
