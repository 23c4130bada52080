//! Tests that need no server.

use super::*;

fn needs(text: &str) -> Needs {
    Needs::parse(text, "Redis", PRIVILEGES).unwrap()
}

#[test]
fn patterns_match_as_on_the_server() {
    for (pattern, name, is_match) in [
        ("*", "anything", true),
        ("session:*", "session:7", true),
        ("session:*", "sessions", false),
        ("a*b*c", "axxbxxc", true),
        ("a*b*c", "axxbxx", false),
        ("h?llo", "hello", true),
        ("h?llo", "hllo", false),
        ("h[a-e]llo", "hello", true),
        ("h[^e]llo", "hello", false),
        ("h[^e]llo", "hallo", true),
        (r"a\*", "a*", true),
        (r"a\*", "ab", false),
        ("a[", "a[", false),
        ("a\\", "a", false),
        ("", "", true),
    ] {
        assert_eq!(matches(pattern.as_bytes(), name.as_bytes()), is_match, "{pattern} {name}");
    }
    assert!(!matches("*a".repeat(200).as_bytes(), "a".repeat(199).as_bytes()), "and it ends");
}

#[test]
fn a_sample_matches_its_pattern() {
    for pattern in ["session:*", "h[a-e]llo:?", "h[^!e]x", r"a\*b", "plain", "*", "*:*"] {
        let sample = sample(pattern, "probe.1");
        assert!(matches(pattern.as_bytes(), sample.as_bytes()), "{pattern}: {sample}");
    }
}

#[test]
fn rules_have_the_servers_syntax() {
    let attaching = "+ping +hello +acl|whoami +acl|dryrun";
    for (text, rules) in [
        ("@read ON KEY session:*", format!("~session:* +@read -@admin -@dangerous {attaching}")),
        (
            "get, set ON a:*, b:*; publish ON CHANNEL news",
            format!("~a:* ~b:* &news +get +set +publish {attaching}"),
        ),
        ("get ON KEY a:*; set ON KEY b:*", format!("~a:* +get {attaching} \"(~b:* +set)\"")),
        ("client|setname, ECHO", format!("+client|setname +echo {attaching}")),
        ("get ON KEY 'a\\*'", format!("\"~a\\\\*\" +get {attaching}")),
    ] {
        let prefix = "ACL SETUSER \"a\\\"b\" on clearselectors resetkeys resetchannels -@all";
        assert_eq!(rules_of("a\"b", &needs(text), false), format!("{prefix} {rules}"), "{text}");
    }
}

#[test]
fn a_mistyped_command_is_reported() {
    for (text, message) in [
        ("@raed ON KEY a", "write `@read`"),
        ("gte ON a", "write `get`"),
        ("subscrbe ON CHANNEL a", "write `subscribe`"),
        ("pnig", "write `ping`"),
        ("@admin", "is not a privilege of Redis"),
        ("@dangerous ON a", "is not a privilege of Redis"),
        ("@all ON a", "is not a privilege of Redis"),
        ("get", "is not a privilege of Redis"),
    ] {
        let mistake = Needs::parse(text, "Redis", PRIVILEGES).unwrap_err();
        assert!(mistake.contains(message), "{text}: {mistake}");
    }
}

#[test]
fn the_tables_are_consistent() {
    assert!(COMMANDS.is_sorted_by(|a, b| a.name < b.name));
    for (name, _) in HARMLESS {
        assert!(
            COMMANDS.iter().any(|command| command.name == *name && command.is_powerful()),
            "{name}"
        );
    }
    for (name, _) in OF_EVERY_KEY {
        assert!(
            COMMANDS.iter().any(|command| command.name == *name && command.object() == Object::Key),
            "{name}"
        );
    }
    for name in OF_EVERY_RELEASE {
        assert!(
            COMMANDS.iter().any(|command| command.name == *name && command.is_powerful()),
            "{name}"
        );
    }
    for harmful in [
        "flushall", "flushdb", "shutdown", "debug", "migrate", "replicaof", "slaveof", "keys",
        "save", "failover",
    ] {
        assert!(HARMLESS.iter().all(|(name, _)| *name != harmful), "{harmful}");
    }
}

#[test]
fn a_malformed_answer_is_refused() {
    let needs = needs("get ON KEY a");
    let contract = Contract::new(&needs, "probe.1");
    let count = contract.asked().count();
    let ok = || vec![Value::Okay; count];
    assert!(matches!(contract.read(&ok()), Ok(Some(_))));
    assert!(contract.read(&ok()[1..]).is_err(), "too few");
    for answer in [
        Value::Nil,
        Value::Int(1),
        Value::Array(Vec::new()),
        Value::BulkString(b"\x1b[2J has no permissions to".to_vec()),
        Value::SimpleString("ok".to_owned()),
        Value::BulkString(vec![0xff]),
    ] {
        let mut answers = ok();
        answers[7] = answer;
        assert!(contract.read(&answers).is_err());
    }
}

#[test]
fn a_server_that_knows_no_command_is_refused() {
    let needs = needs("@read ON KEY a");
    let contract = Contract::new(&needs, "probe.1");
    let at = |name: &str| contract.asked().position(|asked| asked.command.name == name).unwrap();
    let count = contract.asked().count();
    // As after `rename-command ECHO ACL`: without this check, no category would be missing, and
    // nothing would be in excess.
    let unknown: Value =
        redis::parse_redis_value(b"-ERR wrong number of arguments for 'echo' command\r\n").unwrap();
    assert!(contract.read(&vec![unknown.clone(); count]).is_err());
    for name in ["acl|whoami", "acl|dryrun", "ping", "get", "set"] {
        let mut answers = vec![Value::Okay; count];
        answers[at(name)] = unknown.clone();
        assert!(contract.read(&answers).is_err(), "{name}");
    }
    let mut answers = vec![Value::Okay; count];
    answers[at("flushall")] = unknown;
    assert!(matches!(contract.read(&answers), Ok(Some(_))));

    assert!(!contract.misses_commands(&vec![Verdict::May; count]));
    for (name, misses) in [("flushall", true), ("config|get", true), ("getex", false)] {
        let mut verdicts = vec![Verdict::No; count];
        verdicts[at(name)] = Verdict::Unknown;
        assert_eq!(contract.misses_commands(&verdicts), misses, "{name}");
    }
}
