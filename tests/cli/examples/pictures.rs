//! Draws the pictures in docs/pictures from the output of the programs with real servers: `cargo
//! run -p backing-services-cli-tests --example pictures`. It needs Debian's `chromium` and `script`
//! besides the servers of the tests.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a program that cannot do what it should has to stop, there and loudly"
)]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anstyle_svg::{Palette, Term};
use backing_services_tests::canary::{self, ADMIN_PASSWORD, PASSWORD};
use backing_services_tests::mariadb::MariaDb;
use backing_services_tests::pki::Authority;
use backing_services_tests::postgres::{self, Postgres};
use backing_services_tests::redis::{self, Redis};
use base64::prelude::{BASE64_STANDARD, Engine as _};

use crate::browser::Browser;

// A module of the tests.
#[allow(dead_code, reason = "the tests use more of it")]
#[path = "../tests/browser/mod.rs"]
mod browser;

/// The width of a terminal beside an editor, and the length of a report.
const COLUMNS: u16 = 120;
const LINES: u16 = 60;

/// The width of the page in pixels, with room for both sides of its map. The height follows from
/// the content.
const WIDTH: u32 = 1100;

/// The margin below the last line of a terminal, in pixels. It equals the margin at the sides.
const MARGIN: u32 = 10;

type Variables = Vec<(&'static str, String)>;

fn main() {
    let pictures = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/pictures"));
    fs::create_dir_all(pictures).expect("a folder for the pictures");
    let [shop, kiosk] = programs();
    let (database, cache) = (Postgres::start(), Redis::start());
    let stranger = Authority::new("a stranger").pem();

    // The shop's terminal: once everything passes, and once two resources are refused.
    database.script(postgres::DATABASE, &grants(&shop, "orders"));
    let _ = database.sql(&format!("ALTER ROLE shop_orders PASSWORD '{PASSWORD}'"));
    let _ = cache.pipe(&grants(&shop, "sessions"));
    cache.command(&["ACL", "SETUSER", "shop_sessions", &format!(">{PASSWORD}")]);
    let mut variables: Variables = vec![
        ("DATABASE_URL", database.locator().replace(postgres::USER, "shop_orders")),
        ("DATABASE_PASSWORD", PASSWORD.to_owned()),
        ("DATABASE_CA", database.authority.pem()),
        ("SHOP_SESSIONS_URL", cache.locator().replace(redis::USER, "shop_sessions")),
        ("SHOP_SESSIONS_PASSWORD", PASSWORD.to_owned()),
        ("SHOP_SESSIONS_CA", cache.authority.pem()),
    ];
    fs::write(pictures.join("attach-passed.svg"), drawn(&shop, &variables)).expect("a picture");
    variables.extend([
        ("DATABASE_URL", database.locator().replace(postgres::USER, postgres::ADMIN)),
        ("DATABASE_PASSWORD", ADMIN_PASSWORD.to_owned()),
        ("SHOP_SESSIONS_CA", stranger.clone()),
    ]);
    fs::write(pictures.join("attach-refused.svg"), drawn(&shop, &variables)).expect("a picture");

    // The kiosk's page, with an example of each state.
    database.script(postgres::DATABASE, &grants(&kiosk, "orders"));
    let _ = database.sql(&format!("ALTER ROLE kiosk_orders PASSWORD '{PASSWORD}'"));
    let authority = Authority::new("the tests' authority");
    let leaf = authority.about_to_expire(9);
    let cache = Redis::with(authority, &redis::Options::tls(leaf));
    let prices = MariaDb::start();
    // A path that is the same on every machine.
    let notes = Path::new("/tmp/kiosk");
    fs::create_dir(notes).expect("a folder for the notes");
    fs::set_permissions(notes, fs::Permissions::from_mode(0o700)).expect("a folder for the notes");
    let page: Variables = vec![
        ("DATABASE_URL", database.locator().replace(postgres::USER, "kiosk_orders")),
        ("DATABASE_PASSWORD", PASSWORD.to_owned()),
        ("DATABASE_CA", database.authority.pem()),
        ("KIOSK_SESSIONS_URL", cache.locator().replace(redis::USER, redis::ADMIN)),
        ("KIOSK_SESSIONS_PASSWORD", ADMIN_PASSWORD.to_owned()),
        ("KIOSK_SESSIONS_CA", cache.authority.pem()),
        ("KIOSK_FEEDS_PRICES_URL", prices.locator()),
        ("KIOSK_FEEDS_PRICES_PASSWORD", PASSWORD.to_owned()),
        ("KIOSK_FEEDS_PRICES_CA", stranger),
        ("KIOSK_NOTES_URL", format!("sqlite://{}/notes.db", notes.display())),
        ("KIOSK_RECEIPT_KEY", PASSWORD.to_owned()),
    ];
    let output = Command::new(&kiosk).args(["attach", "--format", "html"]).envs(page).output();
    fs::remove_dir_all(notes).expect("the folder goes");
    let output = output.expect("the kiosk");
    let html = String::from_utf8(output.stdout).expect("a page");
    canary::assert_silent("the page", &html);
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("page.html"), html).expect("the page");
    let mut browser = Browser::start();
    browser.open(&folder.path().join("page.html"));
    for theme in ["dark", "light"] {
        browser.show(WIDTH, theme, "screen");
        let picture = BASE64_STANDARD.decode(browser.picture()).expect("a picture");
        fs::write(pictures.join(format!("page-{theme}.png")), picture).expect("a picture");
    }
}

/// Builds the two programs, and returns their paths: beside this one.
fn programs() -> [PathBuf; 2] {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args([
        "build", "--quiet", "-p", "shop", "-p", "backing-services-cli-tests", "--features",
        "shop/cli", "--bins",
    ]);
    assert!(cargo.status().expect("cargo").success(), "the programs are built");
    let own = std::env::current_exe().expect("its own path");
    let folder = own.ancestors().nth(2).expect("the folder of what is built");
    ["shop-services", "kiosk-services"].map(|name| folder.join(name))
}

fn grants(program: &Path, field: &str) -> String {
    let output = Command::new(program).args(["grants", field]).output().expect("the program");
    String::from_utf8(output.stdout).expect("statements")
}

/// The final screen of `attach` in a terminal, as SVG.
fn drawn(program: &Path, variables: &Variables) -> String {
    let name = program.file_name().expect("a name").to_string_lossy();
    let script = format!(
        "stty cols {COLUMNS} rows {LINES}; echo '$ {name} attach'; {name} attach; status=$?; echo; \
         echo '$ echo $?'; echo $status"
    );
    let mut command = Command::new("script");
    command.args(["--quiet", "--return", "--command", &script, "/dev/null"]).stdin(Stdio::null());
    let path = format!("{}:/usr/bin:/bin", program.parent().expect("its folder").display());
    command
        .env_clear()
        .env("PATH", path)
        .env("TERM", "xterm-256color")
        .env("SHELL", "/bin/sh")
        .envs(variables.iter().cloned());
    let output = command.output().expect("script");
    let mut terminal = vt100::Parser::new(LINES, COLUMNS, 0);
    terminal.process(&output.stdout);
    let text = painted(terminal.screen());
    canary::assert_silent("the terminal", &text);

    let svg = Term::new()
        .palette(PALETTE)
        .fg_color(FOREGROUND)
        .bg_color(BACKGROUND)
        .min_width_px(0)
        .render_svg(&text);
    // Without a view box, the picture is clipped instead of scaled down if there is less room.
    let (_, size) = svg.split_once("width=\"").expect("a width");
    let (width, rest) = size.split_once("px\" height=\"").expect("a height");
    let (height, rest) = rest.split_once("px\"").expect("its end");
    let height = height.parse::<u32>().expect("a number") + MARGIN;
    let svg = format!(
        "<svg viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\"{rest}"
    );
    svg.replacen("rx=\"4.5\"", "rx=\"8\"", 1)
}

/// The screen as coloured text, line by line, without the empty lines at the end.
fn painted(screen: &vt100::Screen) -> String {
    let mut lines = Vec::new();
    for row in 0..LINES {
        let mut line = String::new();
        for column in 0..COLUMNS {
            let Some(cell) = screen.cell(row, column) else { continue };
            let mut codes = vec!["0".to_owned()];
            codes.extend(cell.bold().then(|| "1".to_owned()));
            codes.extend(cell.dim().then(|| "2".to_owned()));
            if let vt100::Color::Idx(index @ 0..8) = cell.fgcolor() {
                codes.push(format!("3{index}"));
            }
            let content = if cell.has_contents() { cell.contents() } else { " " };
            line.push_str(&format!("\u{1b}[{}m{content}", codes.join(";")));
        }
        lines.push(line);
    }
    let is_empty = |line: &String| anstream::adapter::strip_str(line).to_string().trim().is_empty();
    while lines.last().is_some_and(is_empty) {
        lines.pop();
    }
    lines.join("\n")
}

const fn rgb(red: u8, green: u8, blue: u8) -> anstyle::RgbColor {
    anstyle::RgbColor(red, green, blue)
}

const FOREGROUND: anstyle::Color = anstyle::Color::Rgb(rgb(0xd5, 0xda, 0xe3));
const BACKGROUND: anstyle::Color = anstyle::Color::Rgb(rgb(0x12, 0x16, 0x1d));

/// Each colour has a contrast of at least 4.5 to 1 with the background, as WCAG requires.
const PALETTE: Palette = Palette([
    rgb(0x12, 0x16, 0x1d),
    rgb(0xff, 0x8b, 0x80),
    rgb(0x6c, 0xd0, 0x9a),
    rgb(0xe8, 0xc0, 0x6a),
    rgb(0x7f, 0xb2, 0xff),
    rgb(0xd3, 0x9b, 0xf0),
    rgb(0x6f, 0xcf, 0xdc),
    rgb(0xd5, 0xda, 0xe3),
    rgb(0x8a, 0x93, 0xa3),
    rgb(0xff, 0x8b, 0x80),
    rgb(0x6c, 0xd0, 0x9a),
    rgb(0xe8, 0xc0, 0x6a),
    rgb(0x7f, 0xb2, 0xff),
    rgb(0xd3, 0x9b, 0xf0),
    rgb(0x6f, 0xcf, 0xdc),
    rgb(0xff, 0xff, 0xff),
]);
