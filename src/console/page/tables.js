// The tables: one page at a time, filtered and sorted by the server.

const text = (title, sort, of) => ({ title, sort, of, text: true });
const number = (title, sort, of, show, bad) => ({ title, sort, of, show: show || count, bad });

const TABLES = {
  subscriptions: {
    title: "Subscriptions", key: (row) => String(row.id), sort: "depth", open: (row) => showSubscription(row.id),
    total: (look) => look.subscriptions, severity: (row) => severities.get(row.id),
    columns: [
      text("Name", "name", (row) => row.name), text("Topic", "topic", (row) => row.topic),
      text("Dispatch", null, (row) => row.dispatch), text("State", null, (row) => row.state),
      number("Waiting", "depth", (row) => row.depth), number("Full", "fill", (row) => row.fill, percent),
      number("Oldest", "oldest", (row) => row.oldest || 0, time),
      number("In /s", "accepted_rate", (row) => row.rates.accepted, rate),
      number("Handled /s", "handled_rate", (row) => row.rates.handled, rate),
      number("Handler", "handler", (row) => row.handler_now, time), number("p99", "handler_p99", (row) => row.handler.p99, time),
      number("Lost /s", "missed_rate", (row) => row.rates.missed, rate, true), number("Lost", "missed", (row) => row.missed),
      number("Panics", "panics", (row) => row.panics), number("Blocked", "blocked", (row) => row.blocked.now, count, true),
    ],
  },
  topics: {
    title: "Topics", key: (row) => row.name, sort: "published_rate", open: (row) => showTopic(row.name), total: (look) => look.topics,
    columns: [
      text("Name", "name", (row) => row.name), text("Class", "class", (row) => row.class), number("Subscriptions", "subscriptions", (row) => row.subscriptions),
      number("Forwards", "forwards", (row) => row.forwards),
      number("Published /s", "published_rate", (row) => row.rates.published, rate), number("Published", "published", (row) => row.published),
      number("Arrived /s", "arrived_rate", (row) => row.rates.arrived, rate),
      number("Delivered /s", "delivered_rate", (row) => row.rates.delivered, rate), number("Delivered", "delivered", (row) => row.delivered),
      number("Filtered", "filtered", (row) => row.filtered), number("Unrouted", "unrouted", (row) => row.unrouted),
      number("Lost", "missed", (row) => row.missed), number("Longest publish", "longest", (row) => row.longest, time),
    ],
  },
  message_types: {
    title: "Message types", key: (row) => String(row.id), sort: "made_rate", total: (look) => look.message_types,
    columns: [
      text("Name", "name", (row) => row.name), number("Made /s", "made_rate", (row) => row.rates.made, rate),
      number("Made", "made", (row) => row.made), number("Alive", "alive", (row) => row.alive),
      number("Memory", "bytes", (row) => row.bytes, bytes), number("Unused /s", "unused_rate", (row) => row.rates.unused, rate),
      number("Unused", "unused", (row) => row.unused), number("Declined", "declined", (row) => row.declined),
      number("Panics", "panics", (row) => row.panics),
    ],
  },
  caches: {
    title: "Caches", key: (row) => row.name, sort: "updates_rate", total: (look) => look.caches,
    columns: [
      text("Name", "name", (row) => row.name), number("Entries", "entries", (row) => row.entries),
      number("Reads /s", "reads_rate", (row) => row.rates.reads, rate), number("Found", "hits", (row) => row.rates.hits, percent),
      number("Updates /s", "updates_rate", (row) => row.rates.updates, rate), number("Updates", "updates", (row) => row.updates),
      number("Suppressed", "suppressed", (row) => row.suppressed), number("Cleared", "cleared", (row) => row.cleared),
      number("Expired", "expired", (row) => row.expired), number("Evicted", "evicted", (row) => row.evicted),
      number("Aggregates", "aggregates", (row) => row.aggregates),
    ],
  },
  workers: {
    title: "Workers", key: (row) => String(row.seat), sort: "busy", total: (look) => look.workers,
    columns: [
      number("Seat", "seat", (row) => row.seat), text("Runs", null, (row) => row.running ? row.running.subscription : "–"),
      number("For", "running", (row) => row.running ? row.running.time : 0, time), number("Busy", "busy", (row) => row.rates.busy, percent),
      number("Busy in all", "busy_total", (row) => row.busy, time), number("Runs /s", "runs_rate", (row) => row.rates.runs, rate),
      number("Runs", "runs", (row) => row.runs), number("Parks", "parks", (row) => row.parks), number("Wake-ups", "wakeups", (row) => row.wakeups),
    ],
  },
};

// What is shown is in the address, so that a reload shows the same.
const view = { table: "subscriptions", sort: "depth", order: "desc", offset: 0, limit: 25, filter: "" };

function readAddress() {
  const asked = new URLSearchParams(location.hash.slice(1));
  const table = asked.get("table");
  view.table = Object.hasOwn(TABLES, table) ? table : "subscriptions";
  const known = TABLES[view.table].columns.map((column) => column.sort).filter(Boolean);
  view.sort = known.includes(asked.get("sort")) ? asked.get("sort") : TABLES[view.table].sort;
  view.order = asked.get("order") === "asc" ? "asc" : "desc";
  view.offset = Math.max(0, parseInt(asked.get("offset"), 10) || 0);
  view.limit = [25, 50, 100].includes(Number(asked.get("limit"))) ? Number(asked.get("limit")) : 25;
  view.filter = asked.get("filter") || "";
}

function setView(change) {
  Object.assign(view, change);
  history.replaceState(null, "", "#" + new URLSearchParams(view));
  showHead();
  refreshTable();
}

function showHead() {
  const table = TABLES[view.table];
  for (const tab of $("tabs").children) {
    const chosen = tab.dataset.table === view.table;
    mark(tab, "aria-selected", chosen);
    tab.tabIndex = chosen ? 0 : -1;
  }
  mark($("panel"), "aria-labelledby", "tab-" + view.table);
  say($("caption"), table.title);
  if ($("filter").value !== view.filter) $("filter").value = view.filter;
  $("filter").disabled = view.table === "workers" && !view.filter;
  $("limit").value = String(view.limit);
  const row = document.querySelector("thead").firstElementChild;
  if (!row || row.dataset.table !== view.table) {
    const cells = table.columns.map((column) => make("th", { scope: "col", class: column.text ? "text" : null, "data-sort": column.sort },
      column.sort ? make("button", { type: "button", onclick: () => sortBy(column) }, column.title) : column.title));
    document.querySelector("thead").replaceChildren(make("tr", { "data-table": view.table }, ...cells));
    document.querySelector("tbody").replaceChildren();
  }
  for (const cell of document.querySelectorAll("th[data-sort]")) {
    mark(cell, "aria-sort", cell.dataset.sort !== view.sort ? null : view.order === "asc" ? "ascending" : "descending");
  }
}

function sortBy(column) {
  const first = column.text ? "asc" : "desc";
  const other = first === "asc" ? "desc" : "asc";
  setView({ sort: column.sort, order: view.sort === column.sort && view.order === first ? other : first, offset: 0 });
}

let asked = 0;

/** Asks for what is to be shown now; the answer to an older question is thrown away. */
async function refreshTable() {
  const mine = ++asked;
  const { table, sort, order, offset, limit, filter } = view;
  const query = new URLSearchParams({ sort, order, offset, limit });
  if (filter) query.set("filter", filter);
  try {
    const answer = await fetch(`/api/${table}?${query}`);
    if (!answer.ok) throw new Error("HTTP " + answer.status);
    const page = await answer.json();
    if (mine === asked) showPage(table, page);
  } catch (error) {
    if (mine === asked) say($("range"), "no answer");
  }
}

function showPage(name, page) {
  const table = TABLES[name];
  if (page.offset >= page.matched && page.offset > 0) {
    setView({ offset: Math.max(0, Math.floor((page.matched - 1) / page.limit) * page.limit) });
    return;
  }
  if (name === "subscriptions") noteDepths(page.at, page.rows);
  keyed(document.querySelector("tbody"), page.rows, table.key, () => rowItem(table), (row, data) => fillRow(table, row, data));
  $("nothing").hidden = page.matched > 0;
  const last = Math.min(page.offset + page.limit, page.matched);
  const some = page.matched === page.total ? "" : ` that match, of ${count(page.total)}`;
  say($("range"), page.matched ? `${count(page.offset + 1)} – ${count(last)} of ${whole.format(page.matched)}${some}` : "none");
  $("previous").disabled = page.offset === 0;
  $("next").disabled = last >= page.matched;
}

function rowItem(table) {
  const row = make("tr");
  table.columns.forEach((column, at) => {
    const inside = at === 0 && table.open ? make("button", { type: "button", class: "name", onclick: () => table.open(row.data) }) : make("span");
    row.append(make("td", { class: column.text ? "text" : null }, inside));
  });
  return row;
}

function fillRow(table, row, data) {
  row.data = data;
  const bad = table.severity && table.severity(data);
  mark(row, "data-bad", bad === "over" ? null : bad);
  table.columns.forEach((column, at) => {
    const value = column.of(data);
    const place = row.children[at];
    say(place.firstChild, column.text ? value : column.show(value));
    if (column.text) mark(place, "title", value);
    else mark(place, "class", value === 0 ? "zero" : column.bad ? "bad" : null);
  });
}

function showTotals(look) {
  for (const tab of $("tabs").children) say(tab.lastChild, count(TABLES[tab.dataset.table].total(look)));
}

// ---- how it is operated

function startTables() {
  for (const [name, table] of Object.entries(TABLES)) {
    $("tabs").append(make("button", {
      type: "button", role: "tab", id: "tab-" + name, "data-table": name, "aria-controls": "panel", onclick: () => openTable(name),
    }, table.title, make("small")));
  }
  $("tabs").addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const names = Object.keys(TABLES);
    const next = names[(names.indexOf(view.table) + step + names.length) % names.length];
    openTable(next);
    $("tab-" + next).focus();
    event.preventDefault();
  });
  let typing;
  $("filter").addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(() => setView({ filter: $("filter").value, offset: 0 }), 150);
  });
  $("limit").addEventListener("change", () => setView({ limit: Number($("limit").value), offset: 0 }));
  $("previous").addEventListener("click", () => setView({ offset: Math.max(0, view.offset - view.limit) }));
  $("next").addEventListener("click", () => setView({ offset: view.offset + view.limit }));
  document.addEventListener("keydown", (event) => {
    if (event.key !== "/" || event.ctrlKey || event.metaKey || $("detail").open || event.target === $("filter")) return;
    $("filter").focus();
    event.preventDefault();
  });
  window.addEventListener("hashchange", () => {
    if (location.hash === "#tables") return;
    readAddress();
    showHead();
    refreshTable();
  });
  readAddress();
  showHead();
}

function openTable(name, filter) {
  setView({ table: name, sort: TABLES[name].sort, order: "desc", offset: 0, filter: filter || "" });
}
