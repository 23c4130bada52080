//! Every command without a server: its output, the stream of the output, and its exit status.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot do what it should has to stop, there and loudly"
)]

mod kiosk;

use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use backing_services_tests::canary::{self, PASSWORD};
use kiosk::{ENOUGH, KIOSK, Said, heard, kiosk, said};

/// The commands that the help of the program lists.
fn commands() -> Vec<String> {
    let help = said(&mut kiosk(&["--help"])).out;
    let list = help
        .split_once("Commands:\n")
        .expect("commands")
        .1
        .split_once("\n\n")
        .expect("an end of them")
        .0;
    // The rest of a folded line is indented further.
    let begin = list.lines().filter(|line| !line.starts_with("   "));
    let names: Vec<_> =
        begin.map(|line| line.split_whitespace().next().expect("a name").to_owned()).collect();
    assert!(names.len() >= 8, "{names:?}");
    names
}

#[test]
fn help_of_every_command_says_what_it_does() {
    let mut text = said(&mut kiosk(&["--help"])).out;
    for name in commands().iter().filter(|name| *name != "help") {
        let help = said(&mut kiosk(&[name, "--help"]));
        assert_eq!((help.status, help.err.as_str()), (0, ""), "{name}");
        assert_eq!(said(&mut kiosk(&["help", name])).out, help.out, "{name}");
        text.push_str(&format!("\n==== {name}\n{}", help.out));
    }
    insta::assert_snapshot!(text);
}

#[test]
fn help_and_version_are_fine_and_go_to_standard_output() {
    for arguments in
        [&["--help"][..], &["-h"], &["help"], &["attach", "--help"], &["--version"], &["-V"]]
    {
        let said = said(&mut kiosk(arguments));
        assert!(
            said.status == 0 && said.err.is_empty() && !said.out.is_empty(),
            "{arguments:?}: {said:?}"
        );
    }
    // The version belongs to this crate, and its name is printed beside it. The application has
    // another version.
    let expected =
        format!("kiosk-services, by backing-services {}\n", kiosk::version_of_the_library());
    assert_eq!(said(&mut kiosk(&["--version"])).out, expected);
}

#[test]
fn a_wrong_command_line_is_reported_with_a_correction() {
    for (arguments, parts) in [
        (&[][..], &["Usage: kiosk-services"][..]),
        (&["atach"], &["unrecognized subcommand 'atach'", "a similar subcommand exists: 'attach'"]),
        (&["attach", "--onyl", "orders"], &["unexpected argument '--onyl'", "'--only'"]),
        (&["attach", "--only"], &["a value is required for '--only <FIELD>'"]),
        (
            &["attach", "--only", "order"],
            &["invalid value 'order'", "a similar value exists: 'orders'"],
        ),
        (&["attach", "--only", "feeds.pries"], &["a similar value exists: 'feeds.prices'"]),
        (&["attach", "--only", "mail", "--only", "orders"], &["cannot be used multiple times"]),
        (
            &["attach", "--only", "feeds"],
            &["`feeds` is a struct", "`feeds.editions`, `feeds.deliveries`, `feeds.prices`\n"],
        ),
        (&["posture", "--only", "name"], &["`name` is a struct", "`name.first_line`\n"]),
        (&["grants", "feeds"], &["`feeds` is a struct", "`feeds.prices`"]),
        (&["attach", "--deadline", "0"], &["invalid value '0'", SECONDS]),
        (&["attach", "--deadline", "3601"], &["invalid value '3601'", SECONDS]),
        (&["attach", "--deadline", "-1"], &["invalid value '-1'", SECONDS]),
        (&["attach", "--deadline", "1.5"], &["invalid value '1.5'", SECONDS]),
        (&["attach", "--deadline", "NaN"], &["invalid value 'NaN'", SECONDS]),
        (&["attach", "--deadline", "abc"], &["invalid value 'abc'", SECONDS]),
        (&["attach", "--deadline", "1e99"], &["invalid value '1e99'", SECONDS]),
        (
            &["attach", "--deadline", "99999999999999999999"],
            &["invalid value '99999999999999999999'", SECONDS],
        ),
        (&["posture", "--format", "jsno"], &["a similar value exists: 'json'"]),
        (&["check", "--deadline", "3"], &["unexpected argument '--deadline'"]),
        (&["check", "orders"], &["unexpected argument 'orders'"]),
        (&["check", "--color", "sometimes"], &["[possible values: auto, always, never]"]),
        (&["grants"], &["<FIELD>"]),
        (&["grants", "receipt_key"], &["invalid value 'receipt_key'"]),
        (&["grants", "payments"], &["`payments` does not say what its account needs"]),
        (
            &["grants", "orders", "--account", "a\u{1b}[31mb"],
            &["`a\\u{1b}[31mb` is no name of an account: it holds a control"],
        ),
        (&["grants", "orders", "--account", ""], &["`` is no name of an account: it is empty"]),
        (
            &["grants", "orders", "--database", &"a".repeat(257)],
            &["is no name of a database: it has more than 256 bytes"],
        ),
        (&["explain", "superuser"], &["a similar value exists: 'superuser_account'"]),
        (&["completions"], &["<SHELL>"]),
        (&["completions", "tcsh"], &["invalid value 'tcsh'"]),
    ] {
        let said = said(kiosk(arguments).envs(ENOUGH));
        assert_eq!((said.status, said.out.as_str()), (2, ""), "{arguments:?}: {}", said.err);
        for part in parts {
            assert!(said.err.contains(part), "{arguments:?}: {part} is not in:\n{}", said.err);
        }
    }
}

/// The expected value of `--deadline`.
const SECONDS: &str = "it is a whole number of seconds, from 1 to 3600";

/// [`said`] checks that nothing is printed raw.
#[test]
fn a_wrong_command_line_is_reported_in_printable_text() {
    let hostile = "or\u{1b}[2J\u{1b}]0;owned\u{7}\rders\u{202e}gnp\u{200b}";
    let shown = r"or\u{1b}[2J\u{1b}]0;owned\u{7}\rders\u{202e}gnp\u{200b}";
    let option = format!("--{hostile}");
    for arguments in [
        &[hostile][..],
        &["attach", "--only", hostile],
        &["attach", &option],
        &["attach", "--deadline", hostile],
        &["check", hostile],
        &["explain", hostile],
        &["--color", hostile, "check"],
    ] {
        let said = said(&mut kiosk(arguments));
        assert!(
            said.status == 2 && said.err.starts_with("error: ") && said.err.contains(shown),
            "{arguments:?}: {said:?}"
        );
    }
    // The message is shortened.
    let long = said(&mut kiosk(&[&"x".repeat(100_000)]));
    assert!(long.status == 2 && long.err.len() < 1000, "{}", long.err.len());
}

/// The runtime panics if it cannot open the files that it needs for itself.
#[test]
fn a_process_that_may_open_no_files_is_an_error() {
    let mut refused = 0;
    for limit in 4..=24 {
        let script = format!("ulimit -n {limit}; exec \"$0\" attach --deadline 5");
        let said = said(Command::new("bash").args(["-c", &script, KIOSK]).env_clear().envs(ENOUGH));
        if said.out.is_empty() {
            let err = "error: this process may open too few files to attach with: raise its limit \
                       (`ulimit -n`)\n";
            assert_eq!((said.status, said.err.as_str()), (2, err), "{limit}");
            refused += 1;
        } else {
            assert_eq!((said.status, said.err.as_str()), (1, ""), "{limit}");
        }
    }
    assert!((1..15).contains(&refused), "{refused}");
}

#[test]
fn arguments_that_are_not_unicode_are_wrong() {
    let odd = OsStr::from_bytes(b"\xff\xfe");
    for arguments in
        [&["explain".as_ref(), odd][..], &["attach".as_ref(), "--only".as_ref(), odd], &[odd]]
    {
        let said = said(kiosk(&[]).args(arguments));
        assert!(said.status == 2 && said.err.starts_with("error: "), "{arguments:?}: {said:?}");
    }
    // A path may be other than Unicode.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(odd);
    write(&path, &enough());
    let said = said(kiosk(&["check", "--env-file"]).arg(&path));
    assert_eq!(said.status, 0, "{said:?}");
}

#[test]
fn the_name_that_it_is_called_by_is_data() {
    for (name, shown) in [
        (&b"/opt/shop/bin/preflight"[..], "preflight"),
        (b"\x1b[31mred\nname", "\\u{1b}[31mred\\nname"),
        (b"\xff", "\u{fffd}"),
        (b"", "Services"),
    ] {
        let said = said(
            Command::new(KIOSK)
                .arg0(OsStr::from_bytes(name))
                .args(["attach", "--help"])
                .env_clear(),
        );
        assert!(
            said.status == 0 && said.out.contains(&format!("\nUsage: {shown} attach [OPTIONS]\n")),
            "{name:?}: {}",
            said.out
        );
    }
}

#[test]
fn check_loads_everything_and_connects_to_nothing() {
    let fine = said(kiosk(&["check"]).envs(ENOUGH));
    assert_eq!((fine.status, fine.err.as_str()), (0, ""));
    insta::assert_snapshot!("check, with what is needed", fine.out);
    let missing = said(&mut kiosk(&["check"]));
    assert_eq!((missing.status, missing.err.as_str()), (1, ""));
    insta::assert_snapshot!("check, with nothing", missing.out);
}

#[test]
fn warnings_and_waived_findings_refuse_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("env");
    write(&file, &enough());
    let without = said(kiosk(&["check", "--env-file"]).arg(&file));
    assert!(
        without.status == 0 && without.out.ends_with("passed: `Services` loads: 12 fields\n"),
        "{without:?}"
    );
    fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
    let with = said(kiosk(&["check", "--env-file"]).arg(&file));
    assert!(
        with.status == 0 && with.out.ends_with("passed: `Services` loads: 12 fields, 3 warnings\n"),
        "{with:?}"
    );
    assert_eq!(
        with.out.matches("warning[readable_secret_file]").count(),
        1,
        "one file is reported once: {with:?}"
    );
    assert!(
        with.out.contains("\nin 2 fields: orders, receipt_key\n")
            && with.out.contains("/shop, 2 warnings\n"),
        "{with:?}"
    );
}

#[test]
fn where_something_is_refused_nothing_is_connected_to() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let locator =
        format!("postgres://winkelier@localhost:{}/shop", listener.local_addr().unwrap().port());
    for command in ["attach", "posture"] {
        let said = said(
            kiosk(&[command])
                .envs([("DATABASE_URL", locator.as_str()), ("DATABASE_PASSWORD", PASSWORD)]),
        );
        assert_eq!((said.status, said.err.as_str()), (1, ""), "{}", said.out);
        // The refused value is the reason, and is in the table.
        assert!(
            said.out.contains(
                "refused  receipt_key       secret      KIOSK_RECEIPT_KEY, missing_value\n"
            ),
            "{}",
            said.out
        );
        assert!(
            said.out.contains("error[missing_value]") && said.out.contains("untried"),
            "{}",
            said.out
        );
        assert!(
            said.out
                .ends_with("refused: `Services` does not attach: 1 problem in 1 of 12 fields\n"),
            "{}",
            said.out
        );
        assert!(listener.accept().is_err(), "it was connected to");
    }
}

#[test]
fn a_struct_without_resources_attaches() {
    for command in ["attach", "posture"] {
        let said = said(kiosk(&[command]).arg0("stand-services"));
        let expected = "passed: `Stand` attaches: 1 field\n";
        assert_eq!(said, Said { status: 0, out: expected.to_owned(), err: String::new() });
    }
    let said = said(kiosk(&["check"]).arg0("stand-services"));
    assert_eq!(
        said.out,
        "default  place  setting  STAND_PLACE\n\npassed: `Stand` loads: 1 field\n"
    );
}

#[test]
fn a_json_report_is_always_one_document() {
    for (command, environment, status) in
        [("check", &ENOUGH[..], 0), ("check", &[], 1), ("attach", &ENOUGH, 1), ("posture", &[], 1)]
    {
        let said = said(kiosk(&[command, "--format", "json"]).envs(environment.iter().copied()));
        let report: serde_json::Value = serde_json::from_str(&said.out).expect("JSON");
        assert_eq!(
            (said.status, said.err.as_str(), report["passed"].as_bool()),
            (status, "", Some(status == 0)),
            "{command}"
        );
        assert_eq!(
            (report["command"].as_str(), report["program"].as_str()),
            (Some(command), Some("kiosk-services"))
        );
    }
}

/// An arcade has fifteen fields. A terminal beside an editor has some 30 lines of 120 columns.
#[test]
fn a_report_of_a_dozen_fields_is_one_screen() {
    let arcade = |arguments: &[&str], environment: &[(String, String)]| {
        said(
            Command::new(env!("CARGO_BIN_EXE_arcade-services"))
                .args(arguments)
                .env_clear()
                .envs(environment.iter().cloned()),
        )
    };
    let height = |said: &Said| {
        said.out.lines().map(|line| line.chars().count().div_ceil(120).max(1)).sum::<usize>()
    };
    let nothing = arcade(&["check"], &[]);
    assert!(
        nothing.status == 1 && height(&nothing) <= 30,
        "{}:\n{}",
        height(&nothing),
        nothing.out
    );
    let all = "in 13 fields: players, coins, scores, machines, prizes.shelves, \
               prizes.orders_from_suppliers, birthdays, pinball, tickets, doors, ledger, jukebox, \
               ticket_key";
    assert!(nothing.out.contains(all), "{}", nothing.out);
    assert_eq!(
        nothing.out.matches("error[missing_value]: `NAME` is not set").count(),
        1,
        "{}",
        nothing.out
    );

    // Refusals come first, and a field with both a refusal and a warning has one heading.
    let folder = tempfile::tempdir().unwrap();
    let mut environment = Vec::new();
    let fields = [
        "PLAYERS", "COINS", "SCORES", "MACHINES", "PRIZES_SHELVES", "PRIZES_ORDERS_FROM_SUPPLIERS",
        "BIRTHDAYS", "PINBALL", "TICKETS", "DOORS", "JUKEBOX",
    ];
    let key = folder.path().join("password");
    fs::write(&key, PASSWORD).unwrap();
    fs::set_permissions(&key, Permissions::from_mode(0o644)).unwrap();
    for (index, field) in fields.iter().enumerate() {
        let locator = if index == 6 {
            "redis://winkelier@cache.example"
        } else {
            "rediss://winkelier@localhost:1"
        };
        environment.push((format!("ARCADE_{field}_URL"), locator.to_owned()));
        environment.push((format!("ARCADE_{field}_PASSWORD_FILE"), key.display().to_string()));
    }
    environment.push((
        "ARCADE_LEDGER_URL".to_owned(),
        format!("sqlite://{}/ledger.db", folder.path().display()),
    ));
    environment.push(("ARCADE_TICKET_KEY".to_owned(), PASSWORD.to_owned()));
    let refused = arcade(&["check"], &environment);
    assert!(
        refused.status == 1 && height(&refused) <= 30,
        "{}:\n{}",
        height(&refused),
        refused.out
    );
    let place = |text: &str| {
        refused.out.find(text).unwrap_or_else(|| panic!("{text} is not in:\n{}", refused.out))
    };
    assert!(
        place("\nbirthdays (ARCADE_BIRTHDAYS_URL, from the environment)\n  error[")
            < place("\nin 11 fields: players, coins, "),
        "{}",
        refused.out
    );
    let counted = |text: &str| refused.out.lines().filter(|line| line.starts_with(text)).count();
    assert_eq!(
        (counted("birthdays"), refused.out.matches("warning[readable_secret_file]").count()),
        (1, 1),
        "{}",
        refused.out
    );
    environment.retain(|(name, _)| !name.starts_with("ARCADE_BIRTHDAYS"));
    environment.push((
        "ARCADE_BIRTHDAYS_URL".to_owned(),
        "rediss://winkelier@localhost:1?colour=blue&shape=round".to_owned(),
    ));
    let twice = arcade(&["check"], &environment).out;
    assert_eq!(twice.lines().filter(|line| line.starts_with("birthdays")).count(), 1, "{twice}");
    // Connecting to all of them gives a report of the same size.
    environment.retain(|(name, _)| !name.starts_with("ARCADE_BIRTHDAYS"));
    environment
        .push(("ARCADE_BIRTHDAYS_URL".to_owned(), "rediss://winkelier@localhost:1".to_owned()));
    environment.push(("ARCADE_BIRTHDAYS_PASSWORD".to_owned(), PASSWORD.to_owned()));
    let away = arcade(&["attach"], &environment);
    assert!(away.status == 1 && height(&away) <= 30, "{}:\n{}", height(&away), away.out);
    assert_eq!(away.out.matches("error[unreachable]").count(), 1, "{}", away.out);
    // A resource without a transport is called embedded in both reports.
    assert!(away.out.contains("/ledger.db, embedded, "), "{}", away.out);
    let posture = arcade(&["posture"], &environment).out;
    assert!(
        posture.lines().any(|line| line.split_whitespace().eq(["transport", "embedded"])),
        "{posture}"
    );
}

#[test]
fn only_one_field_is_looked_at() {
    // The receipt's key is missing, but is not selected.
    let database = &ENOUGH[..2];
    let said = said(kiosk(&["attach", "--only", "orders"]).envs(database.iter().copied()));
    assert_eq!(said.status, 1);
    insta::assert_snapshot!("attach, only orders", kiosk::settled(&said.out, 1));
    let said = kiosk::said(
        kiosk(&["attach", "--only", "feeds.prices"])
            .envs([("KIOSK_FEEDS_PRICES_URL", "mysql://u@localhost:1/prices")]),
    );
    assert!(
        said.status == 1
            && said.out.contains("feeds.prices (KIOSK_FEEDS_PRICES_URL")
            && !said.out.contains("orders"),
        "{said:?}"
    );
    let said = kiosk::said(&mut kiosk(&["attach", "--only", "largest_order"]));
    let passed = "passed: `largest_order` of `Services` attaches: 1 of 12 fields was checked\n";
    assert_eq!(
        (said.status, said.out.as_str()),
        (0, passed),
        "nothing is said of what was not checked"
    );
}

#[test]
fn grants_are_the_least_that_a_field_needs() {
    for arguments in [
        &["grants", "orders"][..],
        &["grants", "orders", "--account", "till", "--database", "news"],
        &["grants", "sessions"],
        &["grants", "feeds.editions"],
    ] {
        let said = said(&mut kiosk(arguments));
        assert_eq!((said.status, said.err.as_str()), (0, ""), "{arguments:?}");
        insta::assert_snapshot!(arguments.join(" "), said.out);
    }
}

#[test]
fn explain_knows_every_rule() {
    let index = said(&mut kiosk(&["explain"])).out;
    for rule in backing_services::rules::RULES {
        let line = index
            .lines()
            .find(|line| line.starts_with(&format!("{} ", rule.name)))
            .unwrap_or_else(|| panic!("{}", rule.name));
        let asvs: String = rule.asvs.iter().map(|number| format!("{number}, ")).collect();
        assert!(line.ends_with(&format!(" ({asvs}CWE-{})", rule.cwe)), "{line}");
    }
    // Other names that a report prints in brackets.
    for kind in [
        "unresolved", "unreachable", "timed_out", "authentication_failed", "protocol",
        "unavailable",
    ] {
        assert!(index.contains(&format!("\n{kind} ")), "{kind}: {index}");
        let said = said(&mut kiosk(&["explain", kind]));
        assert!(
            said.status == 0
                && said.out.starts_with(&format!("{kind}: "))
                && said.out.contains("\nwhat to do\n"),
            "{said:?}"
        );
    }
    assert!(said(&mut kiosk(&["explain", "timed_out"])).out.contains("`connect_timeout=SECONDS`"));
    let said = said(&mut kiosk(&["explain", "weak_password"]));
    assert_eq!((said.status, said.err.as_str()), (0, ""));
    insta::assert_snapshot!(said.out);
    for rule in [backing_services::rules::RULES.first(), backing_services::rules::RULES.last()]
        .into_iter()
        .flatten()
    {
        let said = kiosk::said(&mut kiosk(&["explain", rule.name]));
        assert!(
            said.status == 0 && said.out.contains(rule.rationale) && said.out.contains(rule.help),
            "{said:?}"
        );
    }
}

#[test]
fn completions_are_scripts_of_their_shells() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = said(&mut kiosk(&["completions", shell]));
        assert_eq!((script.status, script.err.as_str()), (0, ""), "{shell}");
        for part in ["kiosk-services", "env-file", "posture"] {
            assert!(script.out.contains(part), "{shell}: {part}");
        }
        // Runs the script in the shell if that is installed.
        let Some(program) = ["/usr/bin", "/bin"]
            .iter()
            .map(|folder| Path::new(folder).join(shell))
            .find(|path| path.is_file())
        else {
            assert_ne!(shell, "bash", "bash is not installed, and these tests need it");
            continue;
        };
        let mut reader = Command::new(program)
            .arg("-n")
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        reader.stdin.take().unwrap().write_all(script.out.as_bytes()).unwrap();
        let output = reader.wait_with_output().unwrap();
        assert!(
            output.status.success() && output.stderr.is_empty(),
            "{shell}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    let completed = "source <(\"$0\" completions bash); read -ra line < <(complete -p \
                     kiosk-services); COMP_WORDS=(kiosk-services att) COMP_CWORD=1
        for word in \"${!line[@]}\"; do [ \"${line[word]}\" != -F ] || \"${line[word + 1]}\" \
        kiosk-services att kiosk-services; done; echo \"${COMPREPLY[*]}\"";
    let output = Command::new("bash").args(["-c", completed, KIOSK]).output().unwrap();
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "attach\n",
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn completions_are_for_a_plain_name() {
    let folder = tempfile::tempdir().unwrap();
    for name in [
        "a b", "`touch pwned`", "$(touch pwned)", "it's", "a\"b", "a;touch pwned", "-rf", "a\nb",
        "ä",
    ] {
        for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
            let mut command = Command::new(KIOSK);
            let said = said(
                command
                    .arg0(name)
                    .args(["completions", shell])
                    .env_clear()
                    .current_dir(folder.path()),
            );
            assert_eq!((said.status, said.out.as_str()), (2, ""), "{name}: {}", said.out);
            assert!(
                said.err.starts_with("error: a shell cannot complete a program that is called `"),
                "{name}: {}",
                said.err
            );
        }
    }
    let said = said(
        Command::new(KIOSK)
            .arg0("/usr/bin/Shop_2.services-x")
            .args(["completions", "bash"])
            .env_clear(),
    );
    assert!(said.status == 0 && said.out.contains("Shop_2.services-x"), "{said:?}");
}

/// The values of [`ENOUGH`] as the content of a file.
fn enough() -> String {
    ENOUGH.map(|(name, value)| format!("{name}={value}\n")).concat()
}

/// Writes a file that only its owner can read.
fn write(path: &Path, content: &str) -> PathBuf {
    fs::write(path, content).unwrap();
    fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
    path.to_owned()
}

#[test]
fn an_env_file_stands_in_for_the_environment() {
    let folder = tempfile::tempdir().unwrap();
    let file = write(&folder.path().join("env"), &enough());
    let said =
        said(kiosk(&["check", "--env-file"]).arg(&file).env("KIOSK_LARGEST_ORDER", "no number"));
    assert_eq!(said.status, 0, "{}", said.out);
    assert!(said.out.contains(&format!("from `{}`", file.display())), "{}", said.out);
    // A variable of the process that a driver reads steers nothing.
    let said = kiosk::said(
        kiosk(&["check", "--env-file"]).arg(&file).env("PGOPTIONS", "-c search_path=evil"),
    );
    assert_eq!(said.status, 0, "{}", said.out);
}

#[test]
fn an_unusable_env_file_is_reported_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    write(&path("malformed"), &format!("A=1\n{PASSWORD} and more\n"));
    // A value that was broken into lines, one of which looks like a variable.
    write(&path("pieces"), "A=1\nB=begin\nhunter2secretpart=x\nno variable\n");
    write(&path("unfinished"), &format!("A=\"{PASSWORD}"));
    write(&path("twice"), "A=1\nA=2\n");
    write(&path("substituted"), "A=$HOME\n");
    fs::write(path("latin"), b"A=caf\xe9\n").unwrap();
    fs::set_permissions(write(&path("writable"), "A=1\n"), Permissions::from_mode(0o666)).unwrap();
    write(&path("long"), &"A=1\n#".repeat(300_000));
    let status = Command::new("mkfifo").arg(path("fifo")).status().unwrap();
    assert!(status.success());
    std::os::unix::fs::symlink(path("loop"), path("loop")).unwrap();
    for (name, why) in [
        ("absent", "is a file that does not exist"),
        ("absent/too", "is a file that does not exist"),
        ("malformed", "has a line that is no `NAME=value`: line 2"),
        ("unfinished", "has a line that is no `NAME=value`: line 1"),
        ("pieces", "has a line that is no `NAME=value`: line 4"),
        ("twice", "has a variable twice: in line 1 and in line 2"),
        (
            "substituted",
            "holds a `$` that would be replaced: write the value that ends in line 1 in single \
             quotes",
        ),
        ("latin", "is a file that is not UTF-8"),
        (
            "writable",
            "is a file of which other users of this machine can write the text: `namei -l` lists \
             who owns each part of its path, and who can write it",
        ),
        ("long", "is a file that is longer than 1 MiB"),
        (".", "is a file that is not a regular file"),
        ("fifo", "is a file that is not a regular file"),
        ("loop", "is a file that cannot be read"),
        ("/dev/zero", "is a file that is not a regular file"),
    ] {
        for command in ["check", "attach", "posture"] {
            let path = path(name);
            let said = said(kiosk(&[command, "--env-file"]).arg(&path));
            let expected = format!("error: `{}` {why}\n", path.display());
            assert_eq!(said, Said { status: 2, out: String::new(), err: expected }, "{name}");
        }
    }
}

/// A duplicate name, or a name before a malformed line, may be a piece of a secret.
#[test]
fn only_line_numbers_of_an_env_file_are_printed() {
    let folder = tempfile::tempdir().unwrap();
    for text in [
        "A=1\nhunter2secretpart=1\nhunter2secretpart=2\n",
        "hunter2secretpart=1\nnone\n",
        "hunter2secretpart=$HOME\n",
    ] {
        let file = write(&folder.path().join("env"), text);
        let said = said(kiosk(&["check", "--env-file"]).arg(&file));
        assert!(
            said.status == 2 && said.err.contains("line ") && !said.err.contains("hunter2"),
            "{text}: {said:?}"
        );
    }
}

#[test]
fn an_unreadable_env_file_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let file = write(&folder.path().join("env"), &enough());
    fs::set_permissions(&file, Permissions::from_mode(0o0)).unwrap();
    // Root may read everything, unless the capabilities for that are dropped.
    let mut command = if fs::metadata("/proc/self").unwrap().uid() == 0 {
        let mut command = Command::new("setpriv");
        command
            .args(["--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all", KIOSK])
            .env_clear();
        command
    } else {
        kiosk(&[])
    };
    let said = said(command.args(["check", "--env-file"]).arg(&file));
    let err = format!("error: `{}` is a file that this process may not read\n", file.display());
    assert_eq!(said, Said { status: 2, out: String::new(), err });
}

#[test]
fn a_hostile_environment_is_reported_and_not_printed() {
    let odd = OsStr::from_bytes(b"\xff\xfe\x1b[31m");
    let said = said(
        kiosk(&["check"])
            .envs(ENOUGH)
            .env("KIOSK_LARGEST_ORDER", odd)
            .env("KIOSK_NAME_FIRST_LINE", odd),
    );
    assert_eq!(said.status, 1);
    assert!(
        said.out.contains(
            "in 2 fields: largest_order, name.first_line\n  error[malformed_value]: `NAME` is not \
             Unicode"
        ) && said.out.contains("2 problems in 2 of 12 fields"),
        "{}",
        said.out
    );
    let said = kiosk::said(
        kiosk(&["check"])
            .envs(ENOUGH)
            .env("DATABASE_URL", format!("postgres://a:{PASSWORD}\u{1b}[31m\n@h/d")),
    );
    assert_eq!(said.status, 1, "{}", said.out);
    let long = "x".repeat(100_000);
    let said = kiosk::said(kiosk(&["check"]).envs(ENOUGH).env("KIOSK_LARGEST_ORDER", long));
    assert!(said.status == 1 && said.out.len() < 3000, "{}", said.out.len());
}

/// Each command in each of its formats, with its exit status if the output is read to the end.
const KINDS: [(&[&str], i32); 27] = [
    (&["--help"], 0),
    (&["--version"], 0),
    (&["check", "--help"], 0),
    (&["check"], 1),
    (&["check", "--format", "json"], 1),
    (&["check", "--format", "sarif"], 1),
    (&["check", "--format", "junit"], 1),
    (&["check", "--format", "html"], 1),
    (&["attach"], 1),
    (&["attach", "--format", "json"], 1),
    (&["attach", "--format", "html"], 1),
    (&["posture"], 1),
    (&["posture", "--format", "json"], 1),
    (&["posture", "--format", "sarif"], 1),
    (&["posture", "--format", "junit"], 1),
    (&["manifest"], 0),
    (&["template", "env"], 0),
    (&["template", "kubernetes"], 0),
    (&["template", "servicebinding"], 0),
    (&["template", "networkpolicy"], 0),
    (&["template", "systemd"], 0),
    (&["template", "compose"], 0),
    (&["dev", "--help"], 0),
    (&["explain"], 0),
    (&["explain", "plaintext_scheme"], 0),
    (&["grants", "orders"], 0),
    (&["completions", "zsh"], 0),
];

#[test]
fn every_command_is_among_the_kinds() {
    for command in commands().iter().filter(|command| *command != "help") {
        assert!(KINDS.iter().any(|(arguments, _)| arguments[0] == command), "{command}");
    }
}

#[test]
fn a_closed_reader_does_not_change_the_status() {
    for (arguments, status) in KINDS {
        // The reader is closed before the first byte.
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = kiosk(arguments).stdout(writer).stderr(Stdio::piped()).output().unwrap();
        assert_eq!(
            heard(output),
            Said { status, out: String::new(), err: String::new() },
            "{arguments:?}"
        );
    }
    // A closed standard error does not change the status either.
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = kiosk(&["atach"]).stdout(Stdio::piped()).stderr(writer).output().unwrap();
    assert_eq!(heard(output).status, 2);
}

#[test]
fn lost_output_is_an_error() {
    let lost = |command: &mut Command, what: &str| {
        let output = command.stderr(Stdio::piped()).output().unwrap();
        let expected = "error: standard output cannot be written to\n".to_owned();
        assert_eq!(heard(output), Said { status: 2, out: String::new(), err: expected }, "{what}");
    };
    let folder = tempfile::tempdir().unwrap();
    for (arguments, _) in KINDS {
        let full = File::options().write(true).open("/dev/full").unwrap();
        lost(kiosk(arguments).stdout(full), &format!("{arguments:?} on a full disk"));
        // A descriptor that is open for reading only.
        let path = folder.path().join("read-only");
        fs::write(&path, "").unwrap();
        lost(
            kiosk(arguments).stdout(File::open(&path).unwrap()),
            &format!("{arguments:?} on what is open for reading alone"),
        );
        assert_eq!(fs::read(&path).unwrap(), b"", "{arguments:?}");
        // A file that may not grow. The output is only partly written.
        let path = folder.path().join("small");
        let small = File::create(&path).unwrap();
        let script = "trap '' XFSZ; ulimit -f 0; exec \"$0\" \"$@\"";
        let mut limited = Command::new("bash");
        limited
            .args(["-c", script, KIOSK])
            .args(arguments)
            .env_clear()
            .stdin(Stdio::null())
            .stdout(small);
        lost(&mut limited, &format!("{arguments:?} on a file that may not grow"));
    }
}

/// Rust's runtime opens `/dev/null` if there is no standard output. So no write fails, and the
/// status is that of the check.
#[test]
fn a_process_without_a_standard_output_has_the_status_of_the_check() {
    for (arguments, status) in KINDS {
        let mut closed = Command::new("bash");
        closed
            .args(["-c", "exec \"$0\" \"$@\" >&-", KIOSK])
            .args(arguments)
            .env_clear()
            .stdin(Stdio::null());
        assert_eq!(
            said(&mut closed),
            Said { status, out: String::new(), err: String::new() },
            "{arguments:?}"
        );
    }
}

#[test]
fn colours_are_printed_if_they_are_wanted() {
    let coloured = |arguments: &[&str], environment: &[(&str, &str)]| {
        let said = heard(kiosk(arguments).envs(environment.iter().copied()).output().unwrap());
        let (out, err) = (said.out.contains('\u{1b}'), said.err.contains('\u{1b}'));
        assert!(!(out && err), "{arguments:?}");
        out || err
    };
    for arguments in [
        &["check"][..],
        &["explain"],
        &["explain", "starttls"],
        &["attach"],
        &["--help"],
        &["atach"],
    ] {
        let with = |color: &'static str| [&["--color", color], arguments].concat();
        // Standard output is not a terminal here.
        assert!(
            !coloured(arguments, &[])
                && !coloured(&with("auto"), &[])
                && !coloured(&with("never"), &[]),
            "{arguments:?}"
        );
        assert!(coloured(&with("always"), &[]), "{arguments:?}");
        assert!(
            coloured(&with("always"), &[("NO_COLOR", "1")]),
            "{arguments:?}: what is said here and now wins"
        );
        assert!(
            coloured(arguments, &[("CLICOLOR_FORCE", "1")])
                && !coloured(&with("never"), &[("CLICOLOR_FORCE", "1")]),
            "{arguments:?}"
        );
    }
    assert!(
        coloured(&["check", "--color=always"], &[])
            && coloured(&["check", "--help", "--color=always"], &[])
    );
    // Machine-readable output has no colours.
    assert!(!coloured(&["check", "--format", "json", "--color", "always"], &[]));
}

#[test]
fn without_colours_it_says_the_same() {
    let plain = said(&mut kiosk(&["check"])).out;
    let painted = heard(kiosk(&["check", "--color", "always"]).output().unwrap()).out;
    let stripped = anstream::adapter::strip_str(&painted).to_string();
    assert_eq!(stripped, plain);
    assert!(canary::find(painted.as_bytes()).is_none());
}
