"use strict";

// ---- The host: JSON-RPC over postMessage (MCP Apps, 2026-01-26) ----

const waiting = new Map();
const listeners = {};
let lastId = 0;
let can = {};

const post = (message) => parent.postMessage({ jsonrpc: "2.0", ...message }, "*");
const tell = (method, params = {}) => post({ method, params });
const ask = (method, params) => new Promise((resolve, reject) => {
  const id = ++lastId;
  waiting.set(id, { resolve, reject });
  post({ id, method, params });
});

addEventListener("message", ({ source, data }) => {
  if (source !== parent || data?.jsonrpc !== "2.0") return;
  if (data.method === undefined) {
    const call = waiting.get(data.id);
    waiting.delete(data.id);
    if (data.error) call?.reject(new Error(data.error.message || "the host refused"));
    else call?.resolve(data.result);
    return;
  }
  const answer = listeners[data.method]?.(data.params ?? {});
  if (data.id === undefined) return;
  if (data.method in listeners) post({ id: data.id, result: answer ?? {} });
  else post({ id: data.id, error: { code: -32601, message: "Method not found" } });
});

/** Calls a tool through the host. What a tool refuses is thrown in the tool's own words. */
async function callTool(name, args) {
  const result = await ask("tools/call", { name, arguments: args });
  if (result.isError) throw new Error(result.content?.find((part) => part.type === "text")?.text || "It was refused.");
  return result;
}

// ---- What is known ----

const OFFERS = "dream-machine-mcp/offers";
const FIELDS = "dream-machine-mcp/fields";
const FINAL = ["completed", "failed", "refused", "stopped"];
const generations = new Map();   // by id, in the order in which they came
const offers = new Map();        // by id
const asked = new Set();         // files whose link was asked for anew already
let chosen = null;
let sheet = null;                // the contact sheet of what was viewed last: { id, src, alt }
let film = null;                 // the film that is shown; its shots are among the generations

/** Takes in what a tool answered. */
function take(result) {
  const told = result?.structuredContent ?? result?._meta?.[FIELDS] ?? {};
  if (told.shots) takeFilm(told);
  const found = told.generations ?? (told.generation_id ? [told] : []);
  for (const one of found) generations.set(one.generation_id, { ...generations.get(one.generation_id), ...one });
  for (const offer of result?._meta?.[OFFERS] ?? []) {
    const others = (offers.get(offer.generation_id) ?? []).filter((one) => one.action !== offer.action);
    offers.set(offer.generation_id, [...others, offer]);
  }
  const picture = result?.content?.find((part) => part.type === "image");
  if (picture && told.generation_id) {
    const moments = told.frame_seconds?.map((moment) => `${moment} s`).join(", ");
    sheet = {
      id: told.generation_id,
      src: `data:${picture.mimeType};base64,${picture.data}`,
      alt: moments ? `Frames at ${moments}` : "The picture, made small",
    };
  }
  if (!generations.has(chosen) && found.length) chosen = found[0].generation_id;
  draw();
  follow();
}

/** A shot of a film by its number, for as long as it has no generation; offers of the film name shots so too. */
const shotId = (filmId, number) => `${filmId}#${number}`;

/** Takes in a film: its shots stand among the generations, in their order. */
function takeFilm(told) {
  film = told;
  const before = new Map(generations);
  const number = before.get(chosen)?.number ?? 1;
  for (const [id, one] of before) if (one.film) generations.delete(id);
  for (const shot of told.shots) {
    const id = shot.generation_id ?? shotId(told.film_id, shot.number);
    generations.set(id, {
      ...before.get(id), film: told.film_id ?? "plan", number: shot.number, generation_id: id, state: shot.state,
      prompt: shot.prompt ?? before.get(id)?.prompt, price_usd: shot.price_usd, failure_reason: shot.reason,
      waits_for: shot.waits_for,
    });
    offers.delete(shotId(told.film_id, shot.number));
    // A film names its clips; where they are, each is asked for once.
    if (shot.state === "completed" && can.serverTools && !asked.has(id)) {
      asked.add(id);
      callTool("get_generation", { generation_id: id }).then(take, () => {});
    }
  }
  if (!generations.has(chosen)) {
    chosen = [...generations.values()].find((one) => one.film && one.number === number)?.generation_id ?? null;
  }
}

// ---- Following what is not finished ----

let following = false;
let failures = 0;

/**
 * What to wait for next, and how. Waiting for a film buys the shots that have become ready; the person allowed them all
 * together.
 */
function nextWait() {
  if (film?.film_id && !film.done && !film.dry_run && film.state !== "in doubt") {
    return ["wait_for_film", { film_id: film.film_id, timeout_seconds: 8 }];
  }
  const unfinished = [...generations.values()].filter((one) => !one.film && !FINAL.includes(one.state));
  const ids = unfinished.map((one) => one.generation_id).slice(0, 20);
  return ids.length ? ["wait_for_generation", { generation_ids: ids, until: "any", timeout_seconds: 8 }] : null;
}

/** Waits, a few seconds at a time, for as long as something is dreaming and somebody is looking. */
async function follow() {
  if (following) return;
  following = true;
  for (;;) {
    const wait = nextWait();
    if (!wait || !can.serverTools || failures >= 5) break;
    if (document.visibilityState === "hidden") { await pause(3000); continue; }
    try {
      const result = await callTool(...wait);
      failures = 0;
      take(result);
      if (!result.structuredContent?.done) await pause(200);
    } catch (error) {
      failures += 1;
      if (failures >= 5) say(`It cannot be followed any more: ${error.message}`, "bad");
      await pause(2000 * failures);
    }
  }
  following = false;
}

const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

// ---- Showing ----

const at = (id) => document.getElementById(id);

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element[name] = value;
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

/** A link that may be loaded: https, or this machine's, which the emulator uses. */
function safe(link) {
  try {
    const url = new URL(link);
    const local = ["127.0.0.1", "localhost", "[::1]"].includes(url.hostname);
    return url.protocol === "https:" || (url.protocol === "http:" && local) ? url.href : null;
  } catch { return null; }
}

const dollars = (usd) => `$${usd.toFixed(4).replace(/0{1,2}$/, "")}`;
const priceOf = (offer) => (offer.price_basis === "assumed" ? "up to " : "") + dollars(offer.price_usd);
/** What a generation cost. A failed one is refunded. */
const costOf = ({ state, price_usd: usd }) => {
  if (state === "failed") return "refunded";
  if (usd == null || state === "refused" || state === "stopped") return null;
  return dollars(usd);
};
const titled = (words) => words[0].toUpperCase() + words.slice(1);

function draw() {
  const one = generations.get(chosen);
  if (one) {
    drawFacts(one);
    drawStage(one);
    drawActions(one);
    at("prompt").hidden = !one.prompt;
    at("prompt").textContent = one.prompt ?? "";
    at("sheet").hidden = sheet?.id !== chosen;
    if (sheet?.id === chosen) at("sheet").replaceChildren(make("img", { src: sheet.src, alt: sheet.alt }));
  }
  drawFilm();
  drawGallery();
}

function drawFilm() {
  at("film").hidden = !film;
  if (!film) return;
  // A film whose shots are all there is followed until it is saved.
  const state = film.state === "completed" && !film.done ? "being saved" : film.state;
  const parts = [
    `Film of ${film.shots.length} shots`, titled(state), `${film.price_is_assumed ? "up to " : ""}${dollars(film.price_usd)}`,
    film.spent_usd ? `${dollars(film.spent_usd)} spent` : null, film.path ? `saved as ${film.path.split(/[\\/]/).pop()}` : null,
    film.state === "in doubt" ? film.next : null, film.problem,
  ].filter(Boolean);
  at("film").replaceChildren(...parts.map((part) => make("span", {}, part)));
}

function drawFacts(one) {
  const facts = [
    one.film ? `shot ${one.number}` : null, one.kind?.replaceAll("_", " "), one.model,
    one.width ? `${one.width}×${one.height}` : null, one.seconds ? `${one.seconds} s` : null,
    costOf(one), one.path ? "saved" : null,
  ].filter(Boolean);
  at("facts").replaceChildren(
    make("span", { class: "state", "data-state": one.state }, titled(one.state ?? "unknown")),
    ...facts.map((fact) => make("span", {}, fact)));
}

/** The file behind a link: its signature is another one in each answer. */
const fileOf = (link) => link?.split("?")[0] ?? "";

const SHOT = {
  completed: "It is made.", planned: "It is allowed and not bought yet.", "in doubt": "Nobody can say whether it was bought.",
  refused: "It was refused.", stopped: "It is not made.",
};

/** Redrawn only when there is something else to show, so that a clip that plays goes on playing. */
function drawStage(one) {
  const link = safe(one.video_url ?? one.image_url ?? one.preview_url);
  const shown = `${one.generation_id} ${one.state} ${fileOf(link)}`;
  const stage = at("stage");
  stage.classList.toggle("dreaming", !FINAL.includes(one.state));
  if (stage.dataset.shown === shown) return;
  stage.dataset.shown = shown;
  if (one.state === "failed") {
    const reason = (one.failure_reason ?? "no reason was given").replace(/\.$/, "");
    stage.replaceChildren(make("p", {}, `It failed: ${reason}. Luma refunds it.`));
  } else if (one.film && !link) {
    stage.replaceChildren(make("p", {}, one.failure_reason ?? SHOT[one.state] ?? "It is being made…"));
  } else if (!link) {
    stage.replaceChildren(make("p", {}, FINAL.includes(one.state) ? "There is no file." : "It is being made…"));
  } else if (one.video_url || one.preview_url) {
    stage.replaceChildren(make("video", {
      src: link, poster: safe(one.image_url), controls: true, loop: true, playsinline: true, preload: "metadata",
      "aria-label": one.prompt ?? "The clip", onerror: () => refresh(one.generation_id, link),
    }));
  } else {
    stage.replaceChildren(make("img", {
      src: link, alt: one.prompt ?? "The picture", onerror: () => refresh(one.generation_id, link),
    }));
  }
}

/** A link that cannot be loaded may have expired: Luma is asked for a newer one, once. */
async function refresh(id, link) {
  if (asked.has(fileOf(link))) return lost(id, link);
  asked.add(fileOf(link));
  try {
    const result = await callTool("get_generation", { generation_id: id });
    at("stage").dataset.shown = "";
    take(result);
  } catch { lost(id, link); }
}

/** A file that cannot be loaded here: its host is not known to be Luma's, or it is gone. The server has a small picture. */
function lost(id, link) {
  const open = make("button", { onclick: () => ask("ui/open-link", { url: link }) }, "Open the link");
  at("stage").replaceChildren(
    make("p", {}, "It cannot be shown here. ", can.openLinks ? open : link));
  callTool("view_generation", { generation_id: id }).then(take, () => {});
}

function drawActions(one) {
  const own = one.state === "completed" ? offers.get(chosen) ?? [] : [];
  const all = [...own, ...(one.film ? offers.get(shotId(one.film, one.number)) ?? [] : [])];
  const shown = JSON.stringify([chosen, one.state, all, Object.keys(can)]);
  if (at("actions").dataset.shown === shown) return;
  at("actions").dataset.shown = shown;
  const link = safe(one.video_url ?? one.image_url);
  const buttons = [];
  if (can.serverTools) {
    for (const offer of all) {
      buttons.push(make("button", { "data-action": offer.action, onclick: () => consider(offer) },
        `${titled(offer.action)} · ${priceOf(offer)}`));
    }
  }
  if (can.serverTools && one.state === "completed") {
    buttons.push(make("button", { "data-action": "download", onclick: ({ target }) => download(chosen, target) },
      "Download · free"));
  }
  if (can.openLinks && link) {
    buttons.push(make("button", { "data-action": "open", onclick: () => ask("ui/open-link", { url: link }) }, "Open"));
  }
  at("actions").replaceChildren(...buttons);
  at("form").hidden = true;
}

function drawGallery() {
  at("gallery").hidden = generations.size < 2;
  if (generations.size < 2) return;
  const shown = JSON.stringify([chosen, [...generations.values()].map((one) => [one.generation_id, one.state, one.image_url])]);
  if (at("gallery").dataset.shown === shown) return;
  at("gallery").dataset.shown = shown;
  const focused = document.activeElement?.dataset?.id;
  at("gallery").replaceChildren(...[...generations.values()].map((one) => {
    const still = safe(one.image_url);
    const picture = still
      ? make("img", { src: still, alt: "", onerror: (event) => event.target.replaceWith(make("div", { class: "blank" })) })
      : make("div", { class: "blank" });
    return make("button", {
      "data-id": one.generation_id, "aria-pressed": String(one.generation_id === chosen), title: one.prompt,
      onclick: () => choose(one.generation_id),
    }, picture, make("span", {}, captionOf(one)));
  }));
  if (focused) at("gallery").querySelector(`[data-id="${CSS.escape(focused)}"]`)?.focus();
}

/** What tells one from another comes first: the words. The state is said while there is something to say. */
function captionOf(one) {
  const words = one.prompt ?? one.kind?.replaceAll("_", " ") ?? "";
  const told = one.state === "completed" ? [words] : [titled(one.state ?? "unknown"), words];
  if (one.film) told.unshift(String(one.number), costOf(one));
  return told.filter(Boolean).join(" · ");
}

function choose(id) {
  chosen = id;
  say("");
  draw();
}

at("gallery").addEventListener("keydown", (event) => {
  const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
  if (!step) return;
  event.preventDefault();
  const all = [...at("gallery").children];
  all[(all.indexOf(document.activeElement) + step + all.length) % all.length].focus();
});

function say(words, kind = "") {
  at("note").hidden = !words;
  at("note").textContent = words;
  at("note").dataset.kind = kind;
}

// ---- Doing ----

/**
 * Says what an action does and costs, asks for words where it needs some, and buys when that is confirmed.
 * It is no real form: a host's sandbox may forbid those.
 */
function consider(offer) {
  say("");
  const words = make("input", { name: "prompt", required: offer.prompt === "required", minlength: 3, maxlength: 5000 });
  const question = { extend: "What happens next?", animate: "What should move?", "add audio": "What does it sound like?" };
  const confirm = () => words.reportValidity() && buy(offer, words.value.trim());
  words.onkeydown = ({ key }) => key === "Enter" && confirm();
  const optional = offer.prompt === "optional" ? " (may be left empty)" : "";
  at("form").replaceChildren(
    offer.prompt
      ? make("label", {}, (question[offer.action] ?? "In words") + optional, words)
      : make("span", {}, `${titled(offer.action)}: ${MADE_BY[offer.action] ?? "a new generation."}`),
    make("button", { class: "main", onclick: confirm }, `Buy for ${priceOf(offer)}`),
    make("button", { onclick: () => { at("form").hidden = true; } }, "Not now"));
  at("form").hidden = false;
  (offer.prompt ? words : at("form").querySelector("button")).focus();
}

const MADE_BY = { "re-take": "this shot, and those that depend on it, are made anew." };

const takes = new Map();   // by the arguments of a variation: the take that was bought last

/**
 * A variation is the same request on purpose, so it is the next take that nobody has bought. A call that fails is
 * repeated as the same take, for it may have been bought.
 */
async function order(offer, args) {
  if (offer.action !== "variation") return callTool(offer.tool, args);
  const name = JSON.stringify(withoutApproval(args));
  for (let take = (takes.get(name) ?? 1) + 1; ; take += 1) {
    const result = await callTool(offer.tool, { ...args, take });
    takes.set(name, take);
    if (!result.structuredContent.recovered) return result;
  }
}

/** The arguments as the model may hear of them: an approval is the person's, and serves one press. */
function withoutApproval({ quote_id: _approval, ...args }) {
  return args;
}

/** An approval serves once, so the buttons of a generation get new ones after a purchase. */
function renewApproval(offer) {
  if (!offer.arguments.quote_id) return;
  callTool("get_generation", { generation_id: offer.generation_id }).then(take, () => {});
}

async function buy(offer, prompt) {
  const args = { ...offer.arguments, ...(prompt && offer.prompt ? { prompt } : {}) };
  const buttons = [...document.querySelectorAll("#form button, #actions button")];
  for (const button of buttons) button.disabled = true;   // a purchase is sent once
  say("Buying…");
  try {
    const result = await order(offer, args);
    if (offer.tool === "create_film") return filmed(offer, result);
    const { generation_id: id, state, price_usd: price, recovered } = result.structuredContent;
    generations.set(id, { generation_id: id, state, prompt: args.prompt, kind: offer.action });
    at("form").hidden = true;
    choose(id);
    say(recovered ? `Bought before for ${dollars(price)}, and not again.` : `Bought for ${dollars(price)}.`);
    report(`In the player the person bought "${offer.action}" of generation ${offer.generation_id}: ` +
      `${offer.tool}(${JSON.stringify(withoutApproval(args))}) made generation ${id} for ${dollars(price)}.`);
    renewApproval(offer);
    follow();
  } catch (error) {
    say(error.message, "bad");
  } finally {
    for (const button of buttons) button.disabled = false;
  }
}

/** A film was given another plan; its shots are bought as it is followed. */
function filmed(offer, result) {
  at("form").hidden = true;
  take(result);
  say(`Allowed for ${dollars(offer.price_usd)}.`);
  report(`In the player the person chose "${offer.action}" of ${offer.generation_id} for ${dollars(offer.price_usd)}. ` +
    `wait_for_film(film_id="${result.structuredContent.film_id}") continues it.`);
}

async function download(id, button) {
  button.disabled = true;
  say("Saving…");
  try {
    const { files } = (await callTool("download_generation", { generation_ids: [id] })).structuredContent;
    say(`Saved as ${files[0].path}`);
    report(`In the player the person saved generation ${id} as ${files[0].path}.`);
  } catch (error) {
    say(error.message, "bad");
  } finally {
    button.disabled = false;
  }
}

/** The model hears of what the person did here, where the host passes that on. */
function report(text) {
  if (can.updateModelContext) ask("ui/update-model-context", { content: [{ type: "text", text }] }).catch(() => {});
}

// ---- Beginning ----

function dress(context) {
  if (context.theme) document.documentElement.style.colorScheme = context.theme;
  for (const [name, value] of Object.entries(context.styles?.variables ?? {})) {
    if (name.startsWith("--") && value) document.documentElement.style.setProperty(name, value);
  }
}

listeners["ui/notifications/host-context-changed"] = dress;
listeners["ui/notifications/tool-result"] = take;
listeners["ui/notifications/tool-cancelled"] = () => say("The call was cancelled. What was bought is not lost.");
listeners["ui/notifications/tool-input"] = ({ arguments: args = {} }) => {
  const ids = args.generation_ids ?? (args.generation_id ? [args.generation_id] : []);
  take({ structuredContent: { generations: ids.map((id) => ({ generation_id: id, state: "waiting", ...generations.get(id) })) } });
};
listeners["ui/resource-teardown"] = () => { failures = 5; return {}; };
listeners.ping = () => ({});

new ResizeObserver(() => {
  const { scrollWidth: width } = document.documentElement;
  tell("ui/notifications/size-changed", { width, height: Math.ceil(document.body.getBoundingClientRect().height) });
}).observe(document.body);

ask("ui/initialize", {
  protocolVersion: "2026-01-26",
  appInfo: { name: "dream-machine-mcp", version: "1" },
  appCapabilities: { availableDisplayModes: ["inline", "fullscreen"] },
}).then(({ hostCapabilities = {}, hostContext = {} }) => {
  can = hostCapabilities;
  dress(hostContext);
  at("facts").firstElementChild.textContent = "Ready";
  tell("ui/notifications/initialized");
}).catch((error) => say(`This host cannot show it: ${error.message}`, "bad"));
