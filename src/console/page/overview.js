// The upper half: what is wrong, vital signs, the deepest and the slowest.

let severities = new Map(); // subscription number -> how bad
let points = [];
const depths = new Map(); // subscription number -> [[time, depth]], as far as it was among those shown
const DEPTHS_MAX = 600;

const SUMS = ["losing", "conflating", "panics", "unrouted", "refused", "threads_refused", "circles"];
const SHOWN = 6; // findings, until all are asked for
let allShown = false;

const WORDS = { critical: "Critical", warning: "Warning", note: "Note", over: "Over" };

function verdictOf(look) {
  const bad = look.findings.filter((one) => one.severity === "critical" || one.severity === "warning").length;
  const more = look.findings_total > look.findings.length ? "+" : "";
  if (look.verdict === "well" || look.verdict === "note") return "All is well";
  const things = bad === 1 && !more ? "1 thing" : `${bad}${more} things`;
  const needs = bad === 1 && !more ? "needs" : "need";
  return look.verdict === "critical" ? `${things} ${needs} help now` : `${things} ${needs} attention`;
}

function showHealth(look) {
  const health = $("health");
  mark(health, "data-verdict", look.verdict === "note" ? "well" : look.verdict);
  say($("verdict"), verdictOf(look));
  say($("summary"), look.summary);
  document.title = (look.verdict === "critical" ? "● " : look.verdict === "warning" ? "◆ " : "") + "stasis bus";
  severities = new Map(look.findings.filter((one) => one.id !== null).map((one) => [one.id, one.severity]));
  const some = allShown ? look.findings : look.findings.slice(0, SHOWN);
  const rest = look.findings_total - some.length;
  $("more").hidden = rest === 0 && !allShown;
  say($("more"), allShown ? "Show fewer" : `Show ${count(look.findings.length - some.length)} more`);
  keyed($("findings"), some, (one) => String(one.id), findingItem, fillFinding);
  $("earlier").hidden = !look.earlier.length;
  keyed($("earlier").querySelector("ul"), look.earlier, (text) => text, () => make("li"), say);
}

function findingItem(one) {
  const name = one.id === null ? make("b", {}, "The bus")
    : make("button", { type: "button", class: "name", onclick: () => showSubscription(one.id) });
  return make("li", { class: "finding" },
    make("div", { class: "head" }, make("span", { class: "word" }), name), make("ul", { class: "troubles" }));
}

function fillFinding(item, one) {
  mark(item, "data-severity", one.severity);
  say(item.querySelector(".word"), WORDS[one.severity]);
  if (one.id !== null) say(item.querySelector(".name"), one.subscription);
  keyed(item.querySelector(".troubles"), one.troubles, (trouble) => trouble.kind, () => {
    return make("li", {}, make("span"), " ", make("time"), make("small", { class: "advice" }));
  }, (line, trouble) => {
    mark(line, "data-over", trouble.over === null ? null : "");
    say(line.firstChild, trouble.text);
    // Most say themselves for how long.
    const seen = trouble.since >= 2 && SUMS.includes(trouble.kind) ? `in ${time(trouble.since)}` : "";
    say(line.querySelector("time"), trouble.over === null ? seen : `over since ${time(trouble.over)}`);
    // Why it is behind is said by what else is wrong.
    const isSaid = trouble.over !== null || (trouble.kind === "behind" && one.troubles.length > 1);
    say(line.querySelector(".advice"), isSaid ? "" : trouble.advice);
  });
}

/** Children of `parent`, one for each of `items`, kept by key; what has the focus keeps it. */
function keyed(parent, items, keyOf, create, fill) {
  const focus = parent.contains(document.activeElement) ? document.activeElement : null;
  const old = new Map(Array.from(parent.children, (child) => [child.dataset.key, child]));
  const used = new Map();
  let place = parent.firstChild;
  for (const item of items) {
    const name = keyOf(item);
    used.set(name, (used.get(name) || 0) + 1);
    const key = `${name} ${used.get(name)}`; // names may come twice
    let child = old.get(key);
    if (child) old.delete(key);
    else {
      child = create(item);
      child.dataset.key = key;
    }
    if (child === place) place = place.nextSibling;
    else parent.insertBefore(child, place);
    fill(child, item);
  }
  old.forEach((child) => child.remove());
  if (focus && focus !== document.activeElement && focus.isConnected) focus.focus({ preventScroll: true });
}

// ---- vital signs

const VITALS = [
  { key: "published", title: "Published", unit: "/s", value: (look) => rate(look.rates.published), of: (p) => p.published,
    note: (look) => `${count(look.totals.published)} in all` },
  { key: "handled", title: "Handled", unit: "/s", value: (look) => rate(look.rates.handled), of: (p) => p.handled,
    note: (look) => `${count(look.totals.handled)} in all` },
  { key: "depth", title: "Waiting", unit: "", value: (look) => count(look.depth), of: (p) => p.depth,
    note: (look) => `in ${count(look.subscriptions)} subscriptions` },
  { key: "missed", title: "Lost", unit: "/s", value: (look) => rate(look.rates.missed), of: (p) => p.missed,
    note: (look) => `${count(look.totals.missed)} in all`, bad: (look) => look.rates.missed > 0 && look.verdict !== "well" && look.verdict !== "note" },
  { key: "busy", title: "Workers", unit: " busy", value: (look) => percent(look.busy), of: (p) => p.busy, least: 1,
    note: (look) => `${look.workers} of ${look.pool.max}` + (look.ready ? `, ${count(look.ready)} mailboxes wait` : "") },
  { key: "publish", title: "A publish takes", unit: " at p99", value: (look) => time(look.publishes.p99),
    note: (look) => `half at most ${time(look.publishes.p50)}, the longest ${time(look.publishes.max)}` },
];

const tiles = VITALS.map((vital) => {
  const line = vital.of ? chart("chart", vital.title) : null;
  const number = make("span");
  const note = make("p", { class: "note" });
  const tile = make("div", { class: "vital", id: "vital-" + vital.key }, make("h2", {}, vital.title),
    make("p", { class: "value" }, number, make("small", {}, vital.unit)), note);
  if (line) tile.append(line.svg);
  $("vitals").append(tile);
  return { vital, line, number, note, tile };
});

function showVitals(look) {
  for (const { vital, line, number, note, tile } of tiles) {
    // The first look has nothing to compare with.
    say(number, look.elapsed === null && vital.of && vital.key !== "depth" ? "–" : vital.value(look));
    say(note, vital.note(look));
    mark(tile, "data-bad", vital.bad && vital.bad(look) ? "" : null);
    if (!line) continue;
    const shown = points.map((point) => [point.at, vital.of(point)]);
    const top = Math.max(0, ...shown.map((point) => point[1]));
    const most = vital.key === "busy" ? percent(top) : short(top);
    line.draw(shown, vital.least || 1, `${vital.title}: ${vital.value(look)} now, at most ${most} in what is shown`);
  }
}

// ---- the deepest and the slowest

function noteDepths(at, rows) {
  for (const row of rows) {
    const seen = depths.get(row.id) || [];
    if (!seen.length || seen[seen.length - 1][0] < at) seen.push([at, row.depth]);
    if (seen.length > 90) seen.shift();
    depths.delete(row.id);
    depths.set(row.id, seen);
  }
  // The ones that were not seen for the longest time go first.
  for (const id of depths.keys()) {
    if (depths.size <= DEPTHS_MAX) break;
    depths.delete(id);
  }
}

function barItem(row) {
  const line = chart("spark", "");
  const item = make("li", {},
    make("div", {}, make("button", { type: "button", class: "name", onclick: () => showSubscription(row.id) }),
      make("div", { class: "track" }, make("i"))),
    line.svg, make("div", { class: "figure" }, make("span"), " ", make("small")));
  item.line = line;
  return item;
}

function showBars(list, rows, none, share, figure, small, label) {
  keyed(list, rows, (row) => String(row.id), barItem, (item, row) => {
    const bad = severities.get(row.id);
    mark(item, "data-bad", bad === "over" ? null : bad);
    say(item.querySelector(".name"), row.name);
    mark(item.querySelector(".name"), "title", `${row.name} on ${row.topic}`);
    item.querySelector("i").style.width = Math.min(100, share(row) * 100) + "%";
    say(item.querySelector(".figure span"), figure(row));
    say(item.querySelector(".figure small"), small(row));
    const seen = depths.get(row.id) || [];
    item.line.draw(seen, 1, label(row));
  });
  if (!rows.length) list.replaceChildren(make("li", { class: "quiet" }, none));
}

function showWorst(look) {
  noteDepths(look.at, [...look.deepest, ...look.slowest]);
  const longest = Math.max(1e-9, ...look.slowest.map((row) => row.handler_now || row.handler.p99));
  const deepest = Math.max(1, ...look.deepest.map((row) => row.depth));
  const full = (row) => row.capacity ? `${percent(row.fill)} of ${count(row.capacity)}` : "";
  showBars($("deepest"), look.deepest, "No message waits.", (row) => row.capacity ? row.fill : row.depth / deepest, (row) => count(row.depth), full,
    (row) => `${row.name}: ${row.depth} messages wait`);
  showBars($("slowest"), look.slowest, "No handler was measured yet.", (row) => (row.handler_now || row.handler.p99) / longest,
    (row) => row.handler_now ? time(row.handler_now) : look.elapsed === null ? "–" : "idle", (row) => row.handler.count ? `p99 ${time(row.handler.p99)}` : "",
    (row) => `${row.name}: ${row.depth} messages wait`);
}
