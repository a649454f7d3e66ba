//! What must hold of the page, one function each.

use crate::Setting;
use crate::service::Service;
use serde_json::{Value, json};

pub type Check = fn(&mut Setting);

pub const ALL: &[(&str, Check)] = &[
    ("loads_and_says_that_all_is_well", loads),
    ("follows_live", follows),
    ("sorts_by_every_column", sorts),
    ("pages_and_filters_a_hundred_thousand_topics", pages),
    ("shows_names_as_text", names),
    ("is_used_by_keyboard", keyboard),
    ("keeps_the_focus_while_it_follows", focus),
    ("tells_assistive_technology_what_is_what", accessible),
    ("is_light_and_dark_and_can_be_read", themes),
    ("pauses", pauses),
    ("follows_without_live_events", polls),
    ("survives_a_restart_of_the_service", restart),
    ("shows_each_fault", faults),
    ("fits_a_small_screen", small),
];

/// A name that would do harm were it markup.
const ODD: &str = "<script>window.harmed=1</script><img src=x onerror=window.harmed=1>";

const LIVE: &str = "document.getElementById('link').dataset.state === 'live'";
/// Rates need a second look.
const SETTLED: &str = "Number(document.documentElement.dataset.look) >= 3";

/// A new page that shows the console, live.
fn show(setting: &mut Setting, service: &Service) {
    let browser = &mut setting.browser;
    browser.new_page();
    browser.size(1400, 1000);
    browser.open(&service.url);
    browser.wait(LIVE);
    browser.wait("document.querySelectorAll('tbody tr').length > 0");
}

/// Nothing was refused by the page's policy, nothing failed, and nobody else was asked for anything.
fn quiet(setting: &mut Setting, service: &Service) {
    for event in setting.browser.take_events() {
        let method = event["method"].as_str().unwrap_or_default();
        let parameters = &event["params"];
        match method {
            "Runtime.exceptionThrown" | "Log.entryAdded" | "Audits.issueAdded" => {
                panic!("the page has a complaint: {event}")
            }
            "Runtime.consoleAPICalled" => panic!("the page writes to the console: {event}"),
            "Network.requestWillBeSent" => {
                let url = parameters["request"]["url"].as_str().unwrap_or_default();
                let is_own = url.starts_with(&service.url) || url.starts_with("data:");
                assert!(is_own, "something from elsewhere: {url}");
            }
            _ => {}
        }
    }
}

fn cells(setting: &mut Setting, column: usize) -> Vec<String> {
    let code =
        format!("[...document.querySelectorAll('tbody tr')].map((row) => row.children[{column}].innerText)");
    let found = setting.browser.eval(&code);
    found.as_array().into_iter().flatten().map(|cell| cell.as_str().unwrap_or_default().to_owned()).collect()
}

fn loads(setting: &mut Setting) {
    let service = setting.service(&[]);
    show(setting, &service);
    setting.browser.wait(SETTLED);
    setting.browser.wait("document.getElementById('verdict').textContent === 'All is well'");
    assert_eq!(setting.browser.text("document.title"), "stasis bus");
    assert_eq!(setting.browser.eval("document.querySelectorAll('.vital').length"), 6);
    let names = cells(setting, 0);
    assert!(names.iter().any(|name| name == "cdr"), "{names:?}");
    setting.browser.picture(&setting.screens.join("healthy.png"));
    setting.browser.eval("document.querySelector('tbody .name').click()");
    setting.browser.wait("document.querySelector('dialog[open] .histogram')");
    setting.browser.picture(&setting.screens.join("subscription.png"));
    setting.browser.eval("document.querySelector('#detail [data-goes]').click()");
    setting.browser.wait("document.getElementById('detail-kind').textContent === 'Topic' && document.querySelector('.chips button')");
    setting.browser.picture(&setting.screens.join("topic.png"));
    quiet(setting, &service);
}

fn follows(setting: &mut Setting) {
    let service = setting.service(&[]);
    show(setting, &service);
    let published = "document.querySelector('#vital-published .note').textContent";
    let first = setting.browser.text(published);
    setting.browser.wait(&format!("{published} !== {}", json!(first)));
    setting.browser.wait("document.querySelector('#vital-published .line').getAttribute('d').length > 20");
    setting.browser.wait("document.querySelector('#deepest, #slowest .spark')");
    quiet(setting, &service);
}

fn sorts(setting: &mut Setting) {
    let service = setting.service(&["--faults", "slow"]);
    show(setting, &service);
    let by = |setting: &mut Setting, column: &str, order: &str| {
        let sorted = format!(
            "document.querySelector('th[data-sort={column}]').getAttribute('aria-sort') === '{order}'"
        );
        setting.browser.eval(&format!("document.querySelector('th[data-sort={column}] button').click()"));
        setting.browser.wait(&sorted);
    };
    by(setting, "name", "ascending");
    setting.browser.wait("document.querySelector('tbody').innerText.indexOf('billing') === 0");
    let names = cells(setting, 0);
    assert!(names.is_sorted() && names.len() >= 4, "{names:?}");
    by(setting, "name", "descending");
    setting.browser.wait("document.querySelector('tbody').innerText.indexOf('recorder') === 0");
    let names = cells(setting, 0);
    assert!(names.iter().rev().is_sorted(), "{names:?}");
    by(setting, "depth", "descending");
    setting.browser.wait("document.querySelector('tbody').innerText.indexOf('recorder') === 0");
    // Each column, in either direction, is one the server knows.
    for table in ["subscriptions", "topics", "message_types", "caches", "workers"] {
        setting.browser.eval(&format!("document.getElementById('tab-{table}').click()"));
        setting.browser.wait("document.querySelectorAll('tbody tr').length > 0");
        let columns =
            setting.browser.eval("[...document.querySelectorAll('th button')].length").as_u64().unwrap_or(0);
        assert!(columns >= 7, "{table} has {columns}");
        for column in 0..columns {
            setting.browser.eval(&format!("document.querySelectorAll('th button')[{column}].click()"));
            let sorted = format!(
                "document.querySelectorAll('th button')[{column}].parentNode.hasAttribute('aria-sort')"
            );
            setting.browser.wait(&sorted);
            setting.browser.wait("refreshTable().then(() => !document.getElementById('range').textContent.includes('no answer'))");
        }
    }
    // What is shown stands in the address.
    setting.browser.eval("document.getElementById('tab-topics').click()");
    setting.browser.call("Page.reload", json!({}));
    setting.browser.wait("document.readyState === 'complete' && document.getElementById('tab-topics')?.getAttribute('aria-selected') === 'true'");
    setting.browser.wait(LIVE);
    quiet(setting, &service);
}

fn pages(setting: &mut Setting) {
    let service = setting.service(&["--topics", "100000"]);
    show(setting, &service);
    setting.browser.eval("document.getElementById('tab-topics').click()");
    setting.browser.wait("/ of 100,00\\d$/.test(document.getElementById('range').textContent)");
    setting.browser.eval("document.querySelector('th[data-sort=name] button').click()");
    setting.browser.wait("document.querySelector('tbody').innerText.includes('phones/000000')");
    setting.browser.eval("document.getElementById('next').click()");
    setting.browser.wait("document.getElementById('range').textContent.startsWith('26 – 50 of')");
    assert_eq!(setting.browser.eval("document.querySelectorAll('tbody tr').length"), 25);
    let filter = "const filter = document.getElementById('filter'); filter.value = 'PHONES/0777'; filter.dispatchEvent(new Event('input'))";
    setting.browser.eval(&format!("{{ {filter} }}"));
    setting.browser.wait(
        "document.getElementById('range').textContent.startsWith('1 – 25 of 100 that match, of 100,00')",
    );
    assert!(cells(setting, 0).iter().all(|name| name.starts_with("phones/0777")));
    // The one that the pool's topics go on to has that many of them; some are listed, the rest is counted.
    setting.browser.eval("showTopic('calls')");
    setting.browser.wait("document.querySelector('#detail-body').innerText.includes('and 99,800 more')");
    setting.browser.wait(LIVE);
    setting.browser.picture(&setting.screens.join("a-hundred-thousand-topics.png"));
    quiet(setting, &service);
}

fn names(setting: &mut Setting) {
    let service = setting.service(&["--also", ODD, "--faults", "stuck"]);
    show(setting, &service);
    let odd = json!(ODD);
    setting.browser.wait(&format!(
        "[...document.querySelectorAll('tbody .name')].some((name) => name.textContent === {odd})"
    ));
    setting.browser.eval(&format!(
        "[...document.querySelectorAll('tbody .name')].find((name) => name.textContent === {odd}).click()"
    ));
    setting.browser.wait(&format!("document.getElementById('detail-title').textContent === {odd}"));
    setting.browser.eval(&format!("showTopic({odd})"));
    setting.browser.wait("document.querySelector('#detail-body .groups')");
    assert_eq!(setting.browser.text("document.getElementById('detail-title').textContent"), ODD);
    setting
        .browser
        .eval("document.getElementById('close').click(); document.getElementById('tab-topics').click()");
    setting.browser.wait(&format!(
        "[...document.querySelectorAll('tbody .name')].some((name) => name.textContent === {odd})"
    ));
    setting.browser.wait(SETTLED);
    assert_eq!(setting.browser.eval("window.harmed === undefined"), true);
    assert_eq!(setting.browser.eval("document.scripts.length"), 1);
    assert_eq!(setting.browser.eval("document.images.length"), 0);
    setting.browser.picture(&setting.screens.join("odd-names.png"));
    quiet(setting, &service);
}

fn keyboard(setting: &mut Setting) {
    let service = setting.service(&[]);
    show(setting, &service);
    let active = |setting: &mut Setting| {
        setting.browser.text("document.activeElement.id || document.activeElement.className")
    };
    setting.browser.press("Tab");
    assert_eq!(active(setting), "skip", "the first is the way to the tables");
    setting.browser.press("Tab");
    assert_eq!(active(setting), "pause");
    setting.browser.press("/");
    assert_eq!(active(setting), "filter");
    for key in ["c", "d", "r"] {
        setting.browser.press(key);
    }
    setting.browser.wait("document.getElementById('range').textContent.startsWith('1 – 1 of 1')");
    setting.browser.eval("document.getElementById('tab-subscriptions').focus()");
    setting.browser.press("ArrowRight");
    assert_eq!(active(setting), "tab-topics");
    setting.browser.wait("document.getElementById('tab-topics').getAttribute('aria-selected') === 'true'");
    setting.browser.press("ArrowLeft");
    setting.browser.wait("document.querySelector('tbody .name')");
    setting.browser.eval("document.querySelector('tbody .name').focus()");
    setting.browser.press("Enter");
    setting.browser.wait("document.getElementById('detail').open");
    setting.browser.press("Escape");
    setting.browser.wait("!document.getElementById('detail').open");
    setting.browser.wait("document.activeElement.className === 'name'");
    setting.browser.eval("document.querySelector('th[data-sort=name] button').focus()");
    setting.browser.press("Enter");
    setting
        .browser
        .wait("document.querySelector('th[data-sort=name]').getAttribute('aria-sort') === 'ascending'");
    // Whoever tabs gets everywhere, and out again.
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..80 {
        setting.browser.press("Tab");
        seen.insert(setting.browser.text("document.activeElement.id || document.activeElement.textContent"));
    }
    for id in ["pause", "theme", "filter", "tab-subscriptions", "limit"] {
        assert!(seen.contains(id), "{id} was not reached: {seen:?}");
    }
    quiet(setting, &service);
}

fn focus(setting: &mut Setting) {
    let service = setting.service(&["--faults", "slow,losing"]);
    show(setting, &service);
    setting.browser.wait("document.querySelector('#findings .name')");
    for place in ["tbody .name", "#findings .name", "#slowest .name"] {
        setting.browser.eval(&format!("document.querySelector('{place}').focus()"));
        let name = setting.browser.text("document.activeElement.textContent");
        let look = setting.browser.text("document.documentElement.dataset.look");
        setting.browser.wait(&format!("Number(document.documentElement.dataset.look) >= {look} + 2"));
        let after = setting.browser.text("document.activeElement.textContent");
        assert_eq!(after, name, "{place}");
    }
    quiet(setting, &service);
}

fn accessible(setting: &mut Setting) {
    let service = setting.service(&["--faults", "slow,stuck"]);
    show(setting, &service);
    setting.browser.wait(SETTLED);
    let tree = setting.browser.call("Accessibility.getFullAXTree", json!({}));
    let mut named = 0;
    for node in tree["nodes"].as_array().into_iter().flatten().filter(|node| node["ignored"] == false) {
        let role = node["role"]["value"].as_str().unwrap_or_default();
        let must = [
            "button",
            "tab",
            "searchbox",
            "combobox",
            "image",
            "link",
            "table",
            "dialog",
            "columnheader",
            "tabpanel",
            "list",
        ];
        if must.contains(&role) {
            let name = node["name"]["value"].as_str().unwrap_or_default();
            let is_plain_list = role == "list";
            assert!(is_plain_list || !name.trim().is_empty(), "a {role} without a name: {node}");
            named += 1;
        }
    }
    assert!(named > 30, "only {named} were looked at");
    // One heading of the first order, a language, a live region, and tables with headers for their columns.
    assert_eq!(setting.browser.eval("document.querySelectorAll('h1').length"), 1);
    assert_eq!(setting.browser.text("document.documentElement.lang"), "en");
    assert_eq!(
        setting.browser.text("document.getElementById('verdict').getAttribute('aria-live')"),
        "polite"
    );
    assert_eq!(
        setting.browser.eval("[...document.querySelectorAll('th')].every((cell) => cell.scope === 'col')"),
        true
    );
    // Badness is said in words too, not in colour alone.
    let words = setting.browser.text("document.querySelector('.finding .word').textContent");
    assert_eq!(words, "Critical");
    quiet(setting, &service);
}

/// The contrast of every visible text with what is behind it; the lowest, and where.
const CONTRAST: &str = r#"(() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const colour = (text) => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = text; canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data]; };
  const behind = (element) => { for (let at = element; at; at = at.parentElement) {
    const found = colour(getComputedStyle(at).backgroundColor); if (found[3] === 255) return found; } return [255, 255, 255]; };
  const light = (c) => { const f = (v) => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
    return 0.2126 * f(c[0]) + 0.7152 * f(c[1]) + 0.0722 * f(c[2]); };
  let least = [99, ""];
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    if (!own || !element.checkVisibility() || element.closest("script,style,.zero,:disabled,.hidden,.skip,[data-severity=over]")) continue;
    const [a, b] = [light(colour(getComputedStyle(element).color)), light(behind(element))];
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (contrast < least[0]) least = [contrast, element.outerHTML.slice(0, 120)];
  }
  return least;
})()"#;

fn themes(setting: &mut Setting) {
    let service = setting.service(&["--faults", "slow,stuck,losing"]);
    show(setting, &service);
    setting.browser.wait(SETTLED);
    let ground = "getComputedStyle(document.body).backgroundColor";
    let mut grounds = Vec::new();
    for scheme in ["light", "dark"] {
        setting.browser.prefer(scheme);
        grounds.push(setting.browser.text(ground));
        let least = setting.browser.eval(CONTRAST);
        assert!(least[0].as_f64().unwrap_or(0.0) >= 4.5, "{scheme}: {least}");
        setting.browser.picture(&setting.screens.join(format!("faults-{scheme}.png")));
    }
    assert_ne!(grounds[0], grounds[1]);
    // The switch goes before what the system prefers, and is kept.
    for (label, expected) in [("Theme: light", &grounds[0]), ("Theme: dark", &grounds[1])] {
        setting.browser.eval("document.getElementById('theme').click()");
        assert_eq!(setting.browser.text("document.getElementById('theme').textContent"), label);
        assert_eq!(&setting.browser.text(ground), expected);
    }
    setting.browser.prefer("light");
    setting.browser.call("Page.reload", json!({}));
    setting.browser.wait("document.readyState === 'complete' && document.getElementById('theme').textContent === 'Theme: dark'");
    assert_eq!(setting.browser.text(ground), grounds[1]);
    setting.browser.eval("localStorage.clear()");
    setting.browser.prefer("");
    quiet(setting, &service);
}

fn pauses(setting: &mut Setting) {
    let service = setting.service(&[]);
    show(setting, &service);
    setting.browser.eval("document.getElementById('pause').click()");
    setting.browser.wait("document.getElementById('link').textContent === 'paused'");
    let look = setting.browser.text("document.documentElement.dataset.look");
    std::thread::sleep(std::time::Duration::from_millis(2_500));
    assert_eq!(setting.browser.text("document.documentElement.dataset.look"), look);
    setting.browser.eval("document.getElementById('pause').click()");
    setting.browser.wait(&format!("document.documentElement.dataset.look > {look}"));
    quiet(setting, &service);
}

fn polls(setting: &mut Setting) {
    let service = setting.service(&["--listeners", "0"]);
    show(setting, &service);
    setting.browser.wait("Number(document.documentElement.dataset.look) >= 2");
    let refused = setting.browser.take_events();
    assert!(
        refused.iter().any(|event| event["params"]["response"]["status"] == 503),
        "live events were to be refused"
    );
}

fn restart(setting: &mut Setting) {
    let service = setting.service(&[]);
    show(setting, &service);
    setting.browser.wait(SETTLED);
    let (address, server) =
        (service.address(), setting.browser.text("document.documentElement.dataset.server"));
    quiet(setting, &service);
    drop(service);
    setting.browser.wait("document.getElementById('link').textContent.startsWith('no connection')");
    setting.browser.picture(&setting.screens.join("no-connection.png"));
    let again = setting.service_at(&address, &["--faults", "unread"]);
    setting.browser.wait(&format!("{LIVE} && document.documentElement.dataset.server !== '{server}'"));
    // It is the new one that is shown, in the tables as well.
    setting.browser.wait(
        "[...document.querySelectorAll('tbody .name')].some((name) => name.textContent === 'listener')",
    );
    let is_network = |event: &Value| {
        event["method"] == "Log.entryAdded" && event["params"]["entry"]["source"] == "network"
    };
    let others: Vec<_> =
        setting.browser.take_events().into_iter().filter(|event| !is_network(event)).collect();
    let bad = ["Runtime.exceptionThrown", "Log.entryAdded", "Audits.issueAdded", "Runtime.consoleAPICalled"];
    assert!(
        !others.iter().any(|event| bad.contains(&event["method"].as_str().unwrap_or_default())),
        "{others:?}"
    );
    drop(again);
}

fn faults(setting: &mut Setting) {
    let faults = [
        ("slow", "recorder", "slow"),
        ("losing", "feed", "losing"),
        ("panics", "journal", "panics"),
        ("stuck", "archive", "stuck"),
        ("blocked", "bank", "blocked"),
        ("unread", "listener", "unread"),
    ];
    for (fault, who, kind) in faults {
        let service = setting.service(&["--faults", fault]);
        show(setting, &service);
        let line = format!(
            "[...document.querySelectorAll('.finding')].find((one) => one.dataset.key.length && one.innerText.includes('{who}'))"
        );
        setting.browser.wait(&format!("{line}?.querySelector('.troubles [data-key^={kind}]')"));
        let advice = setting
            .browser
            .text(&format!("{line}.querySelector('.troubles [data-key^={kind}] .advice').textContent"));
        assert!(advice.len() > 20, "{fault}: no advice");
        setting.browser.wait("document.getElementById('verdict').textContent !== 'All is well'");
        setting.browser.wait(SETTLED);
        setting.browser.picture(&setting.screens.join(format!("fault-{fault}.png")));
        quiet(setting, &service);
    }
    let service = setting.service(&["--faults", "workers"]);
    show(setting, &service);
    setting.browser.wait("[...document.querySelectorAll('.finding')].some((one) => one.innerText.includes('The bus') && one.innerText.includes('workers are all in long handlers'))");
    let starved = "[...document.querySelectorAll('.finding')].find((one) => one.innerText.includes('cdr'))?.innerText || ''";
    setting.browser.wait(&format!("({starved}).includes('waits for one')"));
    setting.browser.wait(SETTLED);
    setting.browser.picture(&setting.screens.join("fault-workers.png"));
    quiet(setting, &service);
}

fn small(setting: &mut Setting) {
    let service = setting.service(&["--faults", "slow"]);
    show(setting, &service);
    setting.browser.size(390, 800);
    setting.browser.wait(SETTLED);
    assert_eq!(
        setting.browser.eval("document.documentElement.scrollWidth <= innerWidth"),
        true,
        "wider than the screen"
    );
    setting.browser.picture(&setting.screens.join("small.png"));
    quiet(setting, &service);
}
