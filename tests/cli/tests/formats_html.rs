//! The HTML page in a browser: its content, its requests, and its layout on a phone, in the dark
//! theme and on paper.
//!
//! The pages and their pictures stay in cargo's `target/tmp` for inspection.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "these are tests")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use backing_services_tests::canary::{self, PASSWORD};
use backing_services_tests::hostile::Hostile;
use backing_services_tests::hostile::redis::{admit, hello_from};
use backing_services_tests::pki::{Authority, Leaf};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde_json::json;

use crate::browser::Browser;

mod browser;

const USER: &str = "winkelier";

const HOSTILE: &str = "6.0.1</style></title><script>document.title='owned'</script><img src=x \
                       onerror=\"document.title='owned'\">'\"&amp;{{ 7*7 }} \u{1b}[2J\u{202e}gnp";

/// A server with a certificate, which reports this version.
fn server(leaf: Leaf, version: &str, strangers: bool) -> Hostile {
    let (leaf, hello) = (Arc::new(leaf), Arc::new(hello_from("redis", version)));
    Hostile::start(move |peer| {
        let (leaf, hello) = (Arc::clone(&leaf), Arc::clone(&hello));
        async move { admit(peer, &leaf, USER, &hello, strangers).await }
    })
}

/// The servers of an arcade, and the variables that lead to them.
struct Arcade {
    _servers: Vec<Hostile>,
    variables: Vec<(String, String)>,
    _folder: tempfile::TempDir,
}

impl Arcade {
    /// An arcade in which everything can be attached, or one with every error.
    fn open(is_good: bool) -> Self {
        let authority = Authority::new("the arcade's authority");
        let fresh = server(authority.server(), "8.2.1", false);
        let ageing = server(authority.about_to_expire(45), "7.4.1", false);
        let old = server(authority.about_to_expire(9), "6.0.1", false);
        let open = server(authority.server(), "8.2.1", true);
        let untrusted = server(Authority::new("another authority").server(), "8.2.1", false);
        let hostile = server(
            authority.server_called(HOSTILE),
            &format!("{HOSTILE}{}", "ä".repeat(300)),
            false,
        );
        let mut fields = vec![
            ("PLAYERS", fresh.port),
            ("COINS", ageing.port),
            ("SCORES", fresh.port),
            ("MACHINES", old.port),
            ("PRIZES_SHELVES", fresh.port),
            ("PRIZES_ORDERS_FROM_SUPPLIERS", ageing.port),
            ("BIRTHDAYS", fresh.port),
            ("PINBALL", fresh.port),
            ("TICKETS", fresh.port),
            ("DOORS", fresh.port),
            ("JUKEBOX", open.port),
        ];
        if !is_good {
            fields[7].1 = untrusted.port;
            fields[8].1 = hostile.port;
            // A port on which nothing listens.
            fields[9].1 = 1;
        }
        let mut variables = Vec::new();
        for (field, port) in fields {
            let mut add = |suffix: &str, value: String| {
                variables.push((format!("ARCADE_{field}{suffix}"), value))
            };
            add("_URL", format!("rediss://{USER}@localhost:{port}"));
            add("_PASSWORD", PASSWORD.to_owned());
            add("_CA", authority.pem());
        }
        let folder = tempfile::tempdir().unwrap();
        let mut add = |name: &str, value: String| variables.push((name.to_owned(), value));
        add("ARCADE_LEDGER_URL", format!("sqlite://{}/ledger.db", folder.path().display()));
        add("ARCADE_TICKET_KEY", PASSWORD.to_owned());
        Self {
            _servers: vec![fresh, ageing, old, open, untrusted, hostile],
            variables,
            _folder: folder,
        }
    }

    fn page(&self, name: &str, arguments: &[&str]) -> PathBuf {
        let mut command = Command::new(env!("CARGO_BIN_EXE_arcade-services"));
        let command = command.env_clear().envs(self.variables.iter().cloned()).args(arguments);
        let page =
            String::from_utf8(command.args(["--format", "html"]).output().unwrap().stdout).unwrap();
        canary::assert_silent(name, &page);
        canary::assert_harmless(name, &page);
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.html"));
        fs::write(&path, page).unwrap();
        path
    }
}

/// The order of the elements, the elements that stick out of the page, and the unreadable texts:
/// below 12 pixels, or with a contrast below 4.5 to 1, the minimum of WCAG 2.2 at level AA (1.4.3).
const LOOK: &str = r"(() => {
    const luminance = ([r, g, b]) => {
        const [x, y, z] = [r, g, b].map(v => v / 255)
            .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
        return 0.2126 * x + 0.7152 * y + 0.0722 * z;
    };
    const channels = colour => colour.match(/[\d.]+/g).map(Number);
    const behind = element => {
        for (; element; element = element.parentElement) {
            const colour = channels(getComputedStyle(element).backgroundColor);
            if (colour.length < 4 || colour[3] > 0) return colour;
        }
        return [255, 255, 255];
    };
    const small = [], faint = [], outside = [];
    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    let least = 99;
    while (texts.nextNode()) {
        const text = texts.currentNode, parent = text.parentElement;
        if (!text.data.trim() || parent.closest('.unseen')) continue;
        const style = getComputedStyle(parent);
        if (parseFloat(style.fontSize) < 12) small.push(text.data);
        const [a, b] = [channels(style.color), behind(parent)].map(luminance).sort((a, b) => b - a);
        const ratio = (a + 0.05) / (b + 0.05);
        least = Math.min(least, ratio);
        if (ratio < 4.5) faint.push(`${ratio.toFixed(2)}: ${text.data}`);
        const range = document.createRange();
        range.selectNodeContents(text);
        const box = range.getBoundingClientRect();
        if (box.right > innerWidth + 1 || box.left < -1) outside.push(text.data);
    }
    return {
        small, faint, outside, least,
        width: innerWidth, scrolled: document.documentElement.scrollWidth,
        ground: luminance(channels(getComputedStyle(document.body).backgroundColor)),
        headings: [...document.querySelectorAll('h1, h2, h3, h4')]
            .map(heading => Number(heading.tagName[1])),
    };
})()";

/// The distance of each line's end from the middle of its badge, in pixels. A narrow page has no
/// lines.
const LINES: &str = r"[...document.querySelectorAll('.side')].flatMap(side => {
    const badges = [...side.querySelectorAll('.card > .badge')]
        .map(badge => badge.getBoundingClientRect());
    return [...side.querySelectorAll('.lines path')].map((path, index) => {
        const badge = badges[index], end = path.getPointAtLength(path.getTotalLength())
            .matrixTransform(path.getScreenCTM());
        const x = (badge.left + badge.right) / 2, y = (badge.top + badge.bottom) / 2;
        return Math.hypot(end.x - x, end.y - y);
    });
})";

/// All elements, everything that could run or fetch something, and the references without a target
/// on the page.
const CONTENTS: &str = r"(() => {
    const all = [...document.querySelectorAll('*')];
    const attributes = all.flatMap(element => [...element.attributes]);
    const ids = all.map(element => element.id).filter(id => id);
    return {
        elements: [...new Set(all.map(element => element.tagName.toLowerCase()))].sort(),
        attributes: [...new Set(attributes.map(attribute => attribute.name))].sort(),
        dangling: attributes.filter(({name}) => name === 'href' || name === 'aria-labelledby')
            .map(attribute => attribute.value.replace(/^#/, ''))
            .filter(id => ids.filter(known => known === id).length !== 1),
        title: document.title,
        sections: [...document.querySelectorAll('h2')].map(heading => heading.textContent.trim()),
        cards: [...document.querySelectorAll('.map li')].map(card =>
            `${card.querySelector('h3').innerText}: ${card.querySelector('.word').innerText}`),
        lines: document.querySelectorAll('.lines path').length,
        bars: [...document.querySelectorAll('.map .days')].map(bar =>
            `${bar.querySelector('.left').getAttribute('width')}: ${bar.innerText}`),
        text: document.body.innerText,
    };
})()";

/// Checks a page on every screen, and keeps pictures of it.
fn look(browser: &mut Browser, page: &Path) {
    let name = page.file_stem().unwrap().to_str().unwrap();
    let address = format!("file://{}", page.display());
    assert_eq!(browser.open(page), [address], "{name} asks for itself, and for nothing else");
    let mut pictures = Vec::new();
    for width in [1280, 768, 390, 320] {
        for theme in ["light", "dark"] {
            browser.show(width, theme, "screen");
            let seen = browser.evaluate(LOOK);
            let what = format!("{name}, {width}, {theme}: {seen:#}");
            for list in ["small", "faint", "outside"] {
                assert_eq!(seen[list], json!([]), "{what}");
            }
            assert_eq!(
                (&seen["width"], &seen["scrolled"]),
                (&json!(width), &json!(width)),
                "nothing to scroll sideways: {what}"
            );
            let ground = seen["ground"].as_f64().unwrap();
            assert!(if theme == "dark" { ground < 0.05 } else { ground > 0.8 }, "{what}");
            let headings: Vec<_> = seen["headings"]
                .as_array()
                .unwrap()
                .iter()
                .map(|level| level.as_u64().unwrap())
                .collect();
            assert_eq!(headings.iter().filter(|level| **level == 1).count(), 1, "{what}");
            assert!(
                headings.windows(2).all(|pair| pair[1] <= pair[0] + 1),
                "no level is left out: {what}"
            );
            if width == 1280 {
                let far = browser.evaluate(LINES);
                assert!(
                    far.as_array().unwrap().iter().all(|far| far.as_f64().unwrap() < 6.0),
                    "a line ends at its card: {far}"
                );
            }
            if width == 1280 || width == 390 {
                let picture = browser.picture();
                let file = page.with_file_name(format!("{name}-{width}-{theme}.png"));
                fs::write(file, BASE64_STANDARD.decode(&picture).unwrap()).unwrap();
                pictures.push(picture);
            }
        }
    }
    // A page of a single colour takes some kilobytes.
    assert!(pictures.iter().all(|picture| picture.len() > 20_000), "{name} is not blank");
    pictures.sort_unstable();
    pictures.dedup();
    assert_eq!(pictures.len(), 4, "{name} looks different on each screen");
    browser.show(720, "dark", "print");
    let paper = browser.evaluate(LOOK);
    assert_eq!(
        (&paper["ground"], &paper["faint"], &paper["scrolled"]),
        (&json!(1), &json!([]), &json!(720)),
        "{name} on paper: {paper:#}"
    );
}

#[test]
fn a_page_is_to_be_looked_at() {
    let (good, bad) = (Arcade::open(true), Arcade::open(false));
    let mut browser = Browser::start();

    look(&mut browser, &good.page("page-passed", &["posture"]));
    let contents = browser.evaluate(CONTENTS);
    let count = |list: &str| contents[list].as_array().unwrap().len();
    assert_eq!((count("cards"), &contents["lines"], count("bars")), (13, &json!(13), 11));
    assert_eq!(contents["cards"][3], "machines: verified");
    assert_eq!(contents["cards"][10], "ledger: embedded");
    assert_eq!(contents["cards"][11], "rumours: absent");
    assert_eq!(contents["cards"][12], "jukebox: waived");
    assert_eq!(contents["bars"][1], "50: 45 days left");
    assert_eq!(contents["bars"][3], "10: 9 days left: renew it");
    let sections = [
        "Resources of Services", "Warnings 2", "Waived 1", "Waivers in the code 3",
        "What attaching taught", "Secrets and settings 2",
    ];
    assert_eq!(contents["sections"], json!(sections));
    let text = contents["text"].as_str().unwrap();
    for said in [
        "Passed",
        "redis 6.0.1, no fixes since 2022-05-31",
        "as above",
        "until 2099-01-31, covers 1",
        "ARCADE_TICKET_KEY, from the environment",
    ] {
        assert!(text.contains(said), "{said}: {text}");
    }

    look(&mut browser, &bad.page("page-refused", &["posture"]));
    let contents = browser.evaluate(CONTENTS);
    assert_eq!(contents["cards"][7], "pinball: refused");
    assert_eq!(contents["sections"][1], "Refused 2");
    // The hostile server's certificate and version are on the page as text.
    assert!(
        contents["text"]
            .as_str()
            .unwrap()
            .contains("redis 6.0.1</style></title><script>document.title='owned'</script>")
    );
    assert_eq!(contents["title"], "Services: refused");
    let elements = [
        "a", "article", "b", "body", "circle", "code", "dd", "div", "dl", "dt", "footer", "h1",
        "h2", "h3", "head", "header", "html", "li", "main", "meta", "p", "path", "rect", "section",
        "span", "style", "svg", "symbol", "time", "title", "ul", "use",
    ];
    assert_eq!(contents["elements"], json!(elements), "no other element came to be");
    let attributes = contents["attributes"].as_array().unwrap();
    assert!(
        attributes.iter().all(|name| !name.as_str().unwrap().starts_with("on")
            && name != "style"
            && name != "src"),
        "{attributes:?}"
    );
    assert_eq!(contents["dangling"], json!([]));

    // A page with one resource, and a page without a connected one.
    look(&mut browser, &good.page("page-one", &["attach", "--only", "coins"]));
    look(&mut browser, &bad.page("page-checked", &["check"]));
    assert_eq!(browser.evaluate(CONTENTS)["cards"][0], "players: loaded");
}

#[test]
fn a_tampered_page_runs_and_fetches_nothing() {
    let page = Arcade::open(true).page("page-written-into", &["check"]);
    let elsewhere = Hostile::start(|peer| async { Ok(Some(peer)) });
    let address = format!("http://127.0.0.1:{}/x", elsewhere.port);
    let written = format!(
        "<script>document.title='owned'</script><script src={address}></script><img src={address} \
         onerror=\"document.title='owned'\">
         <iframe src={address}></iframe><link rel=stylesheet href={address}><style>body {{ \
         background: url({address}) }}</style>
         <p style=\"font-size: 99px\" id=in-line>x</p></main>"
    );
    let text = fs::read_to_string(&page).unwrap().replace("</main>", &written);
    fs::write(&page, text).unwrap();
    let mut browser = Browser::start();
    browser.open(&page);
    assert_eq!(browser.evaluate("document.title"), "Services: passed");
    assert_eq!(browser.evaluate("getComputedStyle(document.body).backgroundImage"), "none");
    assert_ne!(
        browser.evaluate("getComputedStyle(document.getElementById('in-line')).fontSize"),
        "99px"
    );
    // A browser may open a connection ahead of a request, which no policy prevents. It must not
    // send a request.
    let heard = elsewhere.heard();
    assert!(heard.iter().all(|heard| heard.plain.is_empty()), "a request was sent: {heard:?}");
    // The page itself keeps its own style.
    assert_eq!(
        browser.evaluate("getComputedStyle(document.querySelector('.hub')).display"),
        "grid"
    );
}
