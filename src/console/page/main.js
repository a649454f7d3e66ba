// Details of one, the live connection, and the start.

let opened = null; // what the dialog shows: { path, show }
let shown = 0; // when it was asked for

function pairs(title, rows) {
  const list = make("dl");
  for (const [name, value] of rows) list.append(make("div", {}, make("dt", {}, name), make("dd", {}, String(value))));
  return make("div", {}, make("h3", {}, title), list);
}

function open(kind, title, path, show) {
  opened = { path, show };
  say($("detail-kind"), kind);
  say($("detail-title"), title);
  $("detail-body").replaceChildren();
  if (!$("detail").open) $("detail").showModal();
  refreshDetail();
}

async function refreshDetail() {
  const mine = opened;
  if (!mine) return;
  shown = Date.now();
  try {
    const answer = await fetch(mine.path);
    const found = await answer.json();
    if (mine !== opened) return;
    const parts = answer.ok ? mine.show(found) : [make("p", { class: "quiet" }, found.error)];
    const focus = document.activeElement && document.activeElement.dataset.goes;
    $("detail-body").replaceChildren(...parts);
    if (focus) [...$("detail-body").querySelectorAll("[data-goes]")].find((one) => one.dataset.goes === focus)?.focus();
  } catch (error) {
    // The next look asks again.
  }
}

function showSubscription(id) {
  open("Subscription", "", `/api/subscription?id=${id}`, subscriptionParts);
}

function showTopic(name) {
  open("Topic", name, "/api/topic?name=" + encodeURIComponent(name), topicParts);
}

const topicButton = (name) =>
  make("button", { type: "button", class: "name", "data-goes": "topic " + name, onclick: () => showTopic(name) }, name);

function timing(title, figures) {
  return make("div", {}, pairs(title, [["half at most", time(figures.p50)], ["90 % at most", time(figures.p90)],
    ["99 % at most", time(figures.p99)], ["99.9 % at most", time(figures.p999)], ["longest", time(figures.max)],
    ["mean", time(figures.mean)]]), histogram(figures));
}

function subscriptionParts({ stats, rates }) {
  say($("detail-title"), stats.name);
  const lost = Object.entries(stats.lost).map(([why, number]) => [why.replace("_", " "), count(number)]);
  const state = typeof stats.state === "string" ? stats.state : Object.keys(stats.state)[0];
  return [
    make("p", { class: "quiet" }, `number ${stats.id}, ${stats.dispatch}, ${state}, on `, topicButton(stats.topic)),
    make("div", { class: "groups" },
      pairs("Queue", [["waiting", count(stats.depth)], ["capacity", stats.capacity ? count(stats.capacity) : "none"],
        ["most that waited", count(stats.high_water)], ["oldest waits for", time(stats.oldest)], ["behind for", time(stats.behind)],
        ["over its high water mark", stats.congested ? "yes" : "no"], ["publishers that wait", count(stats.blocked.now)]]),
      pairs("Flow", [["in, a second", rate(rates.accepted)], ["handled, a second", rate(rates.handled)], ["accepted", count(stats.accepted)],
        ["handled", count(stats.handled)], ["filtered out", count(stats.filtered)], ["beyond its capacity", count(stats.over_capacity)]]),
      pairs("Lost", [["a second", rate(rates.missed)], ["in all", count(stats.missed)], ...lost]),
      pairs("Handler", [["takes now", time(rates.handler)], ["of one thread", percent(rates.busy)], ["calls of 10 ms or more", count(stats.slow)],
        ["panics", count(stats.panics)]]),
      timing("Handler calls took", stats.handler), timing("Messages waited", stats.delay)),
  ];
}

function chips(title, total, buttons) {
  const more = total > buttons.length ? [make("span", { class: "quiet" }, `and ${count(total - buttons.length)} more`)] : [];
  const none = total ? [] : [make("span", { class: "quiet" }, "none")];
  return make("div", { class: "wide" }, make("h3", {}, title), make("div", { class: "chips" }, ...buttons, ...more, ...none));
}

function topicParts(topic) {
  const stats = topic.stats;
  const subscriptions = topic.subscriptions.map((one) => make("button", {
    type: "button", class: "name", "data-goes": "subscription " + one.id, onclick: () => showSubscription(one.id),
  }, `${one.name} (${count(one.depth)} wait)`));
  return [
    make("p", { class: "quiet" }, topic.detail || "", topic.detail ? ", " : "", `made ${time(topic.age)} ago`),
    make("div", { class: "groups" },
      pairs("Published", [["here", count(stats.published)], ["arrived by forwards", count(stats.arrived)], ["reached nobody", count(stats.unrouted)],
        ["longest publish", time(stats.longest)]]),
      pairs("Its subscriptions", [["got", count(stats.delivered)], ["did not want", count(stats.filtered)], ["lost", count(stats.missed)]]),
      chips("Subscriptions", topic.subscriptions_total, subscriptions),
      chips("Goes on to", topic.forwards_to_total, topic.forwards_to.map(topicButton)),
      chips("Comes from", topic.forwards_from_total, topic.forwards_from.map(topicButton))),
  ];
}

// ---- the live connection

let source = null;
let paused = false;
let lastLook = 0; // when the last one came
let again; // a timer
let latest = null;

function connect() {
  clearTimeout(again);
  if (source) source.close();
  let isFirst = true;
  const mine = new EventSource("/events");
  source = mine;
  mine.addEventListener("open", () => { isFirst = true; });
  mine.addEventListener("look", (event) => {
    show(JSON.parse(event.data), isFirst);
    isFirst = false;
  });
  mine.addEventListener("error", () => {
    tellLink();
    if (mine !== source || mine.readyState !== EventSource.CLOSED) return;
    // Refused: there are too many listeners, or nobody is there.
    again = setTimeout(connect, 2000);
    poll();
  });
}

function disconnect() {
  clearTimeout(again);
  if (source) source.close();
  source = null;
}

async function poll() {
  try {
    const answer = await fetch("/api/overview");
    if (answer.ok) show(await answer.json(), true);
  } catch (error) {
    tellLink();
  }
}

function show(look, isWhole) {
  lastLook = Date.now();
  points = isWhole ? look.points : [...points, ...look.points].slice(-300);
  latest = look;
  showHealth(look);
  showVitals(look);
  showWorst(look);
  showTotals(look);
  say($("foot"), `looks every ${time(look.every)}${look.elapsed ? `, rates are of the last ${time(look.elapsed)}` : ""}`);
  document.documentElement.dataset.look = look.look;
  document.documentElement.dataset.server = look.server;
  tellLink();
  refreshTable();
  // A topic costs a walk over all of them.
  if (opened && Date.now() - shown > (opened.show === topicParts ? 5000 : 500)) refreshDetail();
}

function tellLink() {
  const age = (Date.now() - lastLook) / 1000;
  const isOld = lastLook && age > 3 + 2 * (latest ? latest.every : 1);
  const state = paused ? "paused" : !lastLook ? "wait" : isOld ? "lost" : "live";
  mark($("link"), "data-state", state);
  mark(document.body, "data-old", state === "lost" ? "" : null);
  const words = { paused: "paused", wait: "connecting", live: "live" };
  // Said once, not every second.
  say($("link"), words[state] || `no connection since ${new Date(lastLook).toLocaleTimeString()}`);
}

function setPaused(now) {
  paused = now;
  mark($("pause"), "aria-pressed", paused);
  say($("pause"), paused ? "Go on" : "Pause");
  if (paused) disconnect();
  else connect();
  tellLink();
}

const THEMES = ["auto", "light", "dark"];

function setTheme(theme) {
  mark(document.documentElement, "data-theme", theme);
  say($("theme"), "Theme: " + theme);
  try { localStorage.setItem("theme", theme); } catch (error) { /* not kept, then */ }
}

function savedTheme() {
  try {
    return THEMES.find((theme) => theme === localStorage.getItem("theme")) || "auto";
  } catch (error) {
    return "auto";
  }
}

setTheme(savedTheme());
$("theme").addEventListener("click", () => {
  const now = THEMES.indexOf(document.documentElement.dataset.theme);
  setTheme(THEMES[(now + 1) % THEMES.length]);
});
$("more").addEventListener("click", () => {
  allShown = !allShown;
  if (latest) showHealth(latest);
});
$("pause").addEventListener("click", () => setPaused(!paused));
$("close").addEventListener("click", () => $("detail").close());
$("detail").addEventListener("close", () => { opened = null; });
$("detail").addEventListener("click", (event) => {
  if (event.target === $("detail")) $("detail").close();
});
// Who does not look is not sent anything.
document.addEventListener("visibilitychange", () => {
  if (paused) return;
  if (document.hidden) disconnect();
  else connect();
});
startTables();
connect();
setInterval(tellLink, 1000);
