"use strict";

// ---- The host: JSON-RPC over postMessage (MCP Apps, 2026-01-26) ----

const waiting = new Map();
const listeners = {};
let lastId = 0;
let can = {};

const post = (message) => parent.postMessage({ jsonrpc: "2.0", ...message }, "*");
const notify = (method, params = {}) => post({ method, params });
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
  const result = listeners[data.method]?.(data.params ?? {});
  if (data.id === undefined) return;
  if (data.method in listeners) post({ id: data.id, result: result ?? {} });
  else post({ id: data.id, error: { code: -32601, message: "Method not found" } });
});

/** Call a tool through the host. Throws an error with the text of the tool, if it refuses. */
async function callTool(name, args) {
  const result = await ask("tools/call", { name, arguments: args });
  if (result.isError) throw new Error(result.content?.find((block) => block.type === "text")?.text || "It was refused.");
  return result;
}

// ---- State ----

const OFFERS = "dream-machine-mcp/offers";
const FIELDS = "dream-machine-mcp/fields";
const FINAL = ["completed", "failed", "refused", "stopped"];
const generations = new Map();   // by id, in order of arrival
const offers = new Map();        // by id
const asked = new Set();         // files whose link was requested again already
let chosen = null;
let sheet = null;                // the contact sheet of the last view: { id, src, alt }
let film = null;                 // the displayed film; its shots are among the generations

/** Accept the result of a tool. */
function accept(result) {
  const fields = result?.structuredContent ?? result?._meta?.[FIELDS] ?? {};
  if (fields.shots) acceptFilm(fields);
  const listed = fields.generations ?? (fields.generation_id ? [fields] : []);
  for (const generation of listed) {
    const id = generation.generation_id;
    generations.set(id, { ...generations.get(id), ...generation });
  }
  for (const offer of result?._meta?.[OFFERS] ?? []) {
    const others = (offers.get(offer.generation_id) ?? []).filter((other) => other.action !== offer.action);
    offers.set(offer.generation_id, [...others, offer]);
  }
  const picture = result?.content?.find((block) => block.type === "image");
  if (picture && fields.generation_id) {
    const moments = fields.frame_seconds?.map((moment) => `${moment} s`).join(", ");
    sheet = {
      id: fields.generation_id,
      src: `data:${picture.mimeType};base64,${picture.data}`,
      alt: moments ? `Frames at ${moments}` : "The picture, made small",
    };
  }
  if (!generations.has(chosen) && listed.length) chosen = listed[0].generation_id;
  draw();
  follow();
}

/** The id of a shot by its number, as long as it has no generation; offers of the film use it too. */
const shotId = (filmId, number) => `${filmId}#${number}`;

/** Accept a film: its shots are among the generations, in their order. */
function acceptFilm(fields) {
  film = fields;
  const before = new Map(generations);
  const number = before.get(chosen)?.number ?? 1;
  for (const [id, generation] of before) if (generation.film) generations.delete(id);
  for (const shot of fields.shots) {
    const id = shot.generation_id ?? shotId(fields.film_id, shot.number);
    generations.set(id, {
      ...before.get(id), film: fields.film_id ?? "plan", number: shot.number, generation_id: id, state: shot.state,
      prompt: shot.prompt ?? before.get(id)?.prompt, price_usd: shot.price_usd, failure_reason: shot.reason,
      waits_for: shot.waits_for,
    });
    offers.delete(shotId(fields.film_id, shot.number));
    // A film has the ids of its clips; the links of each are requested once.
    if (shot.state === "completed" && can.serverTools && !asked.has(id)) {
      asked.add(id);
      callTool("get_generation", { generation_id: id }).then(accept, () => {});
    }
  }
  if (!generations.has(chosen)) {
    const shots = [...generations.values()].filter((generation) => generation.film);
    chosen = shots.find((shot) => shot.number === number)?.generation_id ?? null;
  }
}

// ---- Following what is not finished ----

let following = false;
let failures = 0;

/**
 * The next wait: the tool and its arguments. Waiting for a film buys the shots that are ready; the user approved them
 * all together.
 */
function nextWait() {
  if (film?.film_id && !film.done && !film.dry_run && film.state !== "in doubt") {
    return ["wait_for_film", { film_id: film.film_id, timeout_seconds: 8 }];
  }
  const isUnfinished = ({ film: id, state }) => !id && !FINAL.includes(state);
  const unfinished = [...generations.values()].filter(isUnfinished);
  const ids = unfinished.map((generation) => generation.generation_id).slice(0, 20);
  return ids.length ? ["wait_for_generation", { generation_ids: ids, until: "any", timeout_seconds: 8 }] : null;
}

/** Wait, a few seconds at a time, as long as something is unfinished and the page is visible. */
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
      accept(result);
      if (!result.structuredContent?.done) await pause(200);
    } catch (error) {
      failures += 1;
      if (failures >= 5) note(`It cannot be followed any more: ${error.message}`, "bad");
      await pause(2000 * failures);
    }
  }
  following = false;
}

const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

// ---- Drawing ----

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

/** The link, if it may be loaded: https, or of this machine, as the emulator's are. */
function safe(link) {
  try {
    const url = new URL(link);
    const local = ["127.0.0.1", "localhost", "[::1]"].includes(url.hostname);
    return url.protocol === "https:" || (url.protocol === "http:" && local) ? url.href : null;
  } catch { return null; }
}

const dollars = (usd) => `$${usd.toFixed(4).replace(/0{1,2}$/, "")}`;
const priceOf = (offer) => (offer.price_basis === "assumed" ? "up to " : "") + dollars(offer.price_usd);
/** The cost of a generation. A failed generation is refunded. */
const costOf = ({ state, price_usd: usd }) => {
  if (state === "failed") return "refunded";
  if (usd == null || state === "refused" || state === "stopped") return null;
  return dollars(usd);
};
const titled = (text) => text[0].toUpperCase() + text.slice(1);

function draw() {
  const generation = generations.get(chosen);
  if (generation) {
    drawFacts(generation);
    drawStage(generation);
    drawActions(generation);
    at("prompt").hidden = !generation.prompt;
    at("prompt").textContent = generation.prompt ?? "";
    at("sheet").hidden = sheet?.id !== chosen;
    if (sheet?.id === chosen) at("sheet").replaceChildren(make("img", { src: sheet.src, alt: sheet.alt }));
  }
  drawFilm();
  drawGallery();
}

function drawFilm() {
  at("film").hidden = !film;
  if (!film) return;
  // A film with all its shots is followed until it is saved.
  const state = film.state === "completed" && !film.done ? "being saved" : film.state;
  const facts = [
    `Film of ${film.shots.length} shots`, titled(state), `${film.price_is_assumed ? "up to " : ""}${dollars(film.price_usd)}`,
    film.spent_usd ? `${dollars(film.spent_usd)} spent` : null, film.path ? `saved as ${film.path.split(/[\\/]/).pop()}` : null,
    film.state === "in doubt" ? film.next : null, film.problem,
  ].filter(Boolean);
  at("film").replaceChildren(...facts.map((fact) => make("span", {}, fact)));
}

function drawFacts(generation) {
  const facts = [
    generation.film ? `shot ${generation.number}` : null, generation.kind?.replaceAll("_", " "), generation.model,
    generation.width ? `${generation.width}×${generation.height}` : null,
    generation.seconds ? `${generation.seconds} s` : null,
    costOf(generation), generation.path ? "saved" : null,
  ].filter(Boolean);
  at("facts").replaceChildren(
    make("span", { class: "state", "data-state": generation.state }, titled(generation.state ?? "unknown")),
    ...facts.map((fact) => make("span", {}, fact)));
}

/** The file behind a link, without the signature, which differs in each result. */
const fileOf = (link) => link?.split("?")[0] ?? "";

const SHOT = {
  completed: "It is made.", planned: "It is allowed and not bought yet.", "in doubt": "Nobody can say whether it was bought.",
  refused: "It was refused.", stopped: "It is not made.",
};

/** Draw the clip or picture. It is drawn again only if it has changed, so that a playing clip continues. */
function drawStage(generation) {
  const link = safe(generation.video_url ?? generation.image_url ?? generation.preview_url);
  const drawn = `${generation.generation_id} ${generation.state} ${fileOf(link)}`;
  const stage = at("stage");
  stage.classList.toggle("dreaming", !FINAL.includes(generation.state));
  if (stage.dataset.drawn === drawn) return;
  stage.dataset.drawn = drawn;
  if (generation.state === "failed") {
    const reason = (generation.failure_reason ?? "no reason was given").replace(/\.$/, "");
    stage.replaceChildren(make("p", {}, `It failed: ${reason}. Luma refunds it.`));
  } else if (generation.film && !link) {
    stage.replaceChildren(make("p", {}, generation.failure_reason ?? SHOT[generation.state] ?? "It is being made…"));
  } else if (!link) {
    stage.replaceChildren(make("p", {}, FINAL.includes(generation.state) ? "There is no file." : "It is being made…"));
  } else if (generation.video_url || generation.preview_url) {
    stage.replaceChildren(make("video", {
      src: link, poster: safe(generation.image_url), controls: true, loop: true, playsinline: true, preload: "metadata",
      "aria-label": generation.prompt ?? "The clip", onerror: () => refresh(generation.generation_id, link),
    }));
  } else {
    stage.replaceChildren(make("img", {
      src: link, alt: generation.prompt ?? "The picture", onerror: () => refresh(generation.generation_id, link),
    }));
  }
}

/** A link that cannot be loaded may have expired: a newer one is requested once. */
async function refresh(id, link) {
  if (asked.has(fileOf(link))) return showFallback(id, link);
  asked.add(fileOf(link));
  try {
    const result = await callTool("get_generation", { generation_id: id });
    at("stage").dataset.drawn = "";
    accept(result);
  } catch { showFallback(id, link); }
}

/** A file that cannot be loaded here: its host is not known as Luma's, or it is deleted. The server has a small picture. */
function showFallback(id, link) {
  const open = make("button", { onclick: () => ask("ui/open-link", { url: link }) }, "Open the link");
  at("stage").replaceChildren(
    make("p", {}, "It cannot be shown here. ", can.openLinks ? open : link));
  callTool("view_generation", { generation_id: id }).then(accept, () => {});
}

function drawActions(generation) {
  const direct = generation.state === "completed" ? offers.get(chosen) ?? [] : [];
  const all = [...direct, ...(generation.film ? offers.get(shotId(generation.film, generation.number)) ?? [] : [])];
  const drawn = JSON.stringify([chosen, generation.state, all, Object.keys(can)]);
  if (at("actions").dataset.drawn === drawn) return;
  at("actions").dataset.drawn = drawn;
  const link = safe(generation.video_url ?? generation.image_url);
  const buttons = [];
  if (can.serverTools) {
    for (const offer of all) {
      buttons.push(make("button", { "data-action": offer.action, onclick: () => askBeforeBuying(offer) },
        `${titled(offer.action)} · ${priceOf(offer)}`));
    }
  }
  if (can.serverTools && generation.state === "completed") {
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
  const entries = [...generations.values()].map(({ generation_id: id, state, image_url: url }) => [id, state, url]);
  const drawn = JSON.stringify([chosen, entries]);
  if (at("gallery").dataset.drawn === drawn) return;
  at("gallery").dataset.drawn = drawn;
  const focused = document.activeElement?.dataset?.id;
  at("gallery").replaceChildren(...[...generations.values()].map((generation) => {
    const still = safe(generation.image_url);
    const picture = still
      ? make("img", { src: still, alt: "", onerror: (event) => event.target.replaceWith(make("div", { class: "blank" })) })
      : make("div", { class: "blank" });
    return make("button", {
      "data-id": generation.generation_id, "aria-pressed": String(generation.generation_id === chosen),
      title: generation.prompt,
      onclick: () => choose(generation.generation_id),
    }, picture, make("span", {}, captionOf(generation)));
  }));
  if (focused) at("gallery").querySelector(`[data-id="${CSS.escape(focused)}"]`)?.focus();
}

/** The caption of a generation: its prompt; before it the state, unless it is completed. */
function captionOf(generation) {
  const subject = generation.prompt ?? generation.kind?.replaceAll("_", " ") ?? "";
  const facts = generation.state === "completed" ? [subject] : [titled(generation.state ?? "unknown"), subject];
  if (generation.film) facts.unshift(String(generation.number), costOf(generation));
  return facts.filter(Boolean).join(" · ");
}

function choose(id) {
  chosen = id;
  note("");
  draw();
}

at("gallery").addEventListener("keydown", (event) => {
  const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
  if (!step) return;
  event.preventDefault();
  const all = [...at("gallery").children];
  all[(all.indexOf(document.activeElement) + step + all.length) % all.length].focus();
});

function note(text, kind = "") {
  at("note").hidden = !text;
  at("note").textContent = text;
  at("note").dataset.kind = kind;
}

// ---- Actions ----

/**
 * Describe an action and its price, ask for a prompt if it needs one, and buy after confirmation.
 * It is not a form element: a host's sandbox may forbid forms.
 */
function askBeforeBuying(offer) {
  note("");
  const input = make("input", { name: "prompt", required: offer.prompt === "required", minlength: 3, maxlength: 5000 });
  const question = { extend: "What happens next?", animate: "What should move?", "add audio": "What does it sound like?" };
  const confirm = () => input.reportValidity() && buy(offer, input.value.trim());
  input.onkeydown = ({ key }) => key === "Enter" && confirm();
  const optional = offer.prompt === "optional" ? " (may be left empty)" : "";
  at("form").replaceChildren(
    offer.prompt
      ? make("label", {}, (question[offer.action] ?? "In words") + optional, input)
      : make("span", {}, `${titled(offer.action)}: ${MADE_BY[offer.action] ?? "a new generation."}`),
    make("button", { class: "main", onclick: confirm }, `Buy for ${priceOf(offer)}`),
    make("button", { onclick: () => { at("form").hidden = true; } }, "Not now"));
  at("form").hidden = false;
  (offer.prompt ? input : at("form").querySelector("button")).focus();
}

const MADE_BY = { "re-take": "this shot, and those that depend on it, are made anew." };

const takes = new Map();   // by the arguments of a variation: the take that was bought last

/**
 * A variation is the same request again, so it is the next take that is not bought yet. A call that fails is
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

/** The arguments as they are reported to the model: without the approval, which is the user's and valid once. */
function withoutApproval({ quote_id: _approval, ...args }) {
  return args;
}

/** An approval is valid once, so the buttons of a generation get new ones after a purchase. */
function renewApproval(offer) {
  if (!offer.arguments.quote_id) return;
  callTool("get_generation", { generation_id: offer.generation_id }).then(accept, () => {});
}

async function buy(offer, prompt) {
  const args = { ...offer.arguments, ...(prompt && offer.prompt ? { prompt } : {}) };
  const buttons = [...document.querySelectorAll("#form button, #actions button")];
  for (const button of buttons) button.disabled = true;   // a purchase is sent once
  note("Buying…");
  try {
    const result = await order(offer, args);
    if (offer.tool === "create_film") return showChangedFilm(offer, result);
    const { generation_id: id, state, price_usd: price, recovered } = result.structuredContent;
    generations.set(id, { generation_id: id, state, prompt: args.prompt, kind: offer.action });
    at("form").hidden = true;
    choose(id);
    note(recovered ? `Bought before for ${dollars(price)}, and not again.` : `Bought for ${dollars(price)}.`);
    report(`In the player the person bought "${offer.action}" of generation ${offer.generation_id}: ` +
      `${offer.tool}(${JSON.stringify(withoutApproval(args))}) made generation ${id} for ${dollars(price)}.`);
    renewApproval(offer);
    follow();
  } catch (error) {
    note(error.message, "bad");
  } finally {
    for (const button of buttons) button.disabled = false;
  }
}

/** Display a film with a new plan; its shots are bought while it is followed. */
function showChangedFilm(offer, result) {
  at("form").hidden = true;
  accept(result);
  note(`Allowed for ${dollars(offer.price_usd)}.`);
  report(`In the player the person chose "${offer.action}" of ${offer.generation_id} for ${dollars(offer.price_usd)}. ` +
    `wait_for_film(film_id="${result.structuredContent.film_id}") continues it.`);
}

async function download(id, button) {
  button.disabled = true;
  note("Saving…");
  try {
    const { files } = (await callTool("download_generation", { generation_ids: [id] })).structuredContent;
    note(`Saved as ${files[0].path}`);
    report(`In the player the person saved generation ${id} as ${files[0].path}.`);
  } catch (error) {
    note(error.message, "bad");
  } finally {
    button.disabled = false;
  }
}

/** Report an action of the user to the model, if the host forwards it. */
function report(text) {
  if (can.updateModelContext) ask("ui/update-model-context", { content: [{ type: "text", text }] }).catch(() => {});
}

// ---- Start ----

function applyTheme(context) {
  if (context.theme) document.documentElement.style.colorScheme = context.theme;
  for (const [name, value] of Object.entries(context.styles?.variables ?? {})) {
    if (name.startsWith("--") && value) document.documentElement.style.setProperty(name, value);
  }
}

listeners["ui/notifications/host-context-changed"] = applyTheme;
listeners["ui/notifications/tool-result"] = accept;
listeners["ui/notifications/tool-cancelled"] = () => note("The call was cancelled. What was bought is not lost.");
listeners["ui/notifications/tool-input"] = ({ arguments: args = {} }) => {
  const ids = args.generation_ids ?? (args.generation_id ? [args.generation_id] : []);
  accept({ structuredContent: { generations: ids.map((id) => ({ generation_id: id, state: "waiting", ...generations.get(id) })) } });
};
listeners["ui/resource-teardown"] = () => { failures = 5; return {}; };
listeners.ping = () => ({});

new ResizeObserver(() => {
  const { scrollWidth: width } = document.documentElement;
  notify("ui/notifications/size-changed", { width, height: Math.ceil(document.body.getBoundingClientRect().height) });
}).observe(document.body);

ask("ui/initialize", {
  protocolVersion: "2026-01-26",
  appInfo: { name: "dream-machine-mcp", version: "1" },
  appCapabilities: { availableDisplayModes: ["inline", "fullscreen"] },
}).then(({ hostCapabilities = {}, hostContext = {} }) => {
  can = hostCapabilities;
  applyTheme(hostContext);
  at("facts").firstElementChild.textContent = "Ready";
  notify("ui/notifications/initialized");
}).catch((error) => note(`This host cannot show it: ${error.message}`, "bad"));
