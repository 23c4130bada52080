//! Tests of parsing `needs`.

use super::*;

const COLUMNS: &[&str] = &["SELECT", "INSERT"];

pub(super) const KINDS: &[Grantable] = &[
    Grantable::new("", &["PING", "CREATE TEMPORARY TABLES"], Names::None),
    Grantable::new("TABLE", &["SELECT", "INSERT", "LOCK TABLES"], Names::Identifiers(2))
        .with_columns(COLUMNS),
    Grantable::new("TABLES OF", &["SELECT", "EVENT"], Names::Wildcards(2))
        .with_columns(COLUMNS)
        .with_all(&["EVENT"]),
    Grantable::new("FUNCTION", &["EXECUTE"], Names::Routines(2)),
    Grantable::new("KEY", &["READ"], Names::Patterns),
];

fn read(text: &str) -> Result<Vec<String>, String> {
    Needs::parse(text, "Shop", KINDS).map(|needs| needs.iter().map(ToString::to_string).collect())
}

#[test]
fn valid_texts_are_parsed() {
    for (text, needs) in [
        ("SELECT ON orders", vec!["SELECT ON TABLE orders"]),
        (" select ,insert on orders ;; ", vec!["SELECT ON TABLE orders", "INSERT ON TABLE orders"]),
        (
            "SELECT, INSERT ON a, billing.b",
            vec![
                "SELECT ON TABLE a", "SELECT ON TABLE billing.b", "INSERT ON TABLE a",
                "INSERT ON TABLE billing.b",
            ],
        ),
        ("LOCK \n TABLES ON TABLE orders", vec!["LOCK TABLES ON TABLE orders"]),
        ("SELECT(id, \"Full; Name\") ON orders", vec!["SELECT (id, Full; Name) ON TABLE orders"]),
        ("SELECT (id)ON orders", vec!["SELECT (id) ON TABLE orders"]),
        ("SELECT ON tables", vec!["SELECT ON TABLE tables"]),
        ("SELECT ON TABLES OF shop.*", vec!["SELECT ON TABLES OF shop.*"]),
        ("EVENT ON TABLES OF shop.*, *", vec!["EVENT ON TABLES OF shop.*", "EVENT ON TABLES OF *"]),
        ("SELECT ON \"on, and\".\"t;\"", vec!["SELECT ON TABLE \"on, and\".\"t;\""]),
        (
            "EXECUTE ON FUNCTION settle(int, pg_catalog.text[]); PING",
            vec!["EXECUTE ON FUNCTION settle(int, pg_catalog.text[])", "PING"],
        ),
        ("READ ON KEY session:*, 'a b,c;d'", vec!["READ ON KEY session:*", "READ ON KEY a b,c;d"]),
        ("create  temporary\ttables", vec!["CREATE TEMPORARY TABLES"]),
        ("SELECT ON a; SELECT ON a", vec!["SELECT ON TABLE a"]),
    ] {
        assert_eq!(read(text).unwrap(), needs, "{text}");
    }
}

/// Texts, and the messages about them.
const INVALID: &[(&str, &str)] = &[
    ("", "`needs` names no privilege"),
    (" ; ", "`needs` names no privilege"),
    ("SELCT ON orders", "`SELCT` is not a privilege of Shop on a TABLE: write `SELECT`"),
    ("SELECT, INSRET ON orders", "`INSRET` is not a privilege of Shop on a TABLE: write `INSERT`"),
    (
        "DANCE ON orders",
        "`DANCE` is not a privilege of Shop on a TABLE: there are `SELECT`, `INSERT`, `LOCK \
             TABLES`",
    ),
    ("SLCT ON orders", "`SLCT` is not a privilege of Shop on a TABLE: write `SELECT`"),
    ("PNG", "`PNG` is not a privilege of Shop: write `PING`"),
    (
        "INSERT ON TABLES OF shop.*",
        "`INSERT` is not a privilege of Shop on a TABLES OF: there are `SELECT`, `EVENT`",
    ),
    (
        "SELECT ON TABLES OF *.*",
        "`*.*` is no TABLES OF: write a name, or one between quotation marks if it has \
             blanks or capitals",
    ),
    (
        "SELECT ON TABLES OF *.orders",
        "`*.orders` is no TABLES OF: write a name, or one between quotation marks if it has \
             blanks or capitals",
    ),
    (
        "SELECT, EVENT ON TABLES OF a, b",
        "`a` is one object, and this privilege is on all of them or none: write `name.*`",
    ),
    ("SELECT (id) ON TABLES OF shop.*", "`id`: no columns can be named here, or not these"),
    ("SELECT ON", "a name is missing after `ON`, or after a comma"),
    ("SELECT ON TABLE", "a name is missing after `ON`, or after a comma"),
    ("SELECT ON a,", "a name is missing after `ON`, or after a comma"),
    ("SELECT ON a,,b", "a name is missing after `ON`, or after a comma"),
    ("SELECT, ON a", "a privilege is missing before a comma, or before `ON`"),
    ("ON a", "a privilege is missing before a comma, or before `ON`"),
    (
        "SELECT ON a b",
        "`a b` is no TABLE: write a name, or one between quotation marks if it has blanks \
             or capitals",
    ),
    (
        "SELECT ON a.b.c",
        "`a.b.c` is no TABLE: write a name, or one between quotation marks if it has blanks \
             or capitals",
    ),
    (
        "SELECT ON 1a",
        "`1a` is no TABLE: write a name, or one between quotation marks if it has blanks or \
             capitals",
    ),
    (
        "SELECT ON \"\"",
        "`\"\"` is no TABLE: write a name, or one between quotation marks if it has blanks \
             or capitals",
    ),
    (
        "SELECT ON *",
        "`*` is no TABLE: write a name, or one between quotation marks if it has blanks or \
             capitals",
    ),
    (
        "SELECT ON \"a\tb\"",
        "`\"a\tb\"` is no TABLE: write a name, or one between quotation marks if it has blanks or \
             capitals",
    ),
    ("SELECT ((id) ON a", "`((id) ON a`: a quotation mark or a parenthesis has no partner"),
    ("SELECT ON \"a", "`\"a`: a quotation mark or a parenthesis has no partner"),
    ("SELECT ON a)", "`)`: a quotation mark or a parenthesis has no partner"),
    (
        "SELECT ON a\\b",
        "`a\\b` is no TABLE: write a name, or one between quotation marks if it has blanks \
             or capitals",
    ),
    (
        "SELECT ON \"a\\b\"",
        "`\"a\\b\"` is no TABLE: write a name, or one between quotation marks if it has \
             blanks or capitals",
    ),
    ("SELECT (id; x) ON a", "`SELECT (id; x)`: no columns can be named here, or not these"),
    ("LOCK TABLES (id) ON a", "`LOCK TABLES (id)`: no columns can be named here, or not these"),
    ("SELECT () ON a", "`SELECT ()`: no columns can be named here, or not these"),
    (
        "EXECUTE ON FUNCTION settle",
        "`settle` is no FUNCTION: write its name and the types of its arguments, `settle(int)`",
    ),
    (
        "EXECUTE ON FUNCTION settle(int-1)",
        "`settle(int-1)` is no FUNCTION: write its name and the types of its arguments, \
             `settle(int)`",
    ),
    (
        "EXECUTE ON FUNCTION settle(int'); DROP)",
        "`'); DROP)`: a quotation mark or a parenthesis has no partner",
    ),
    ("READ ON KEY a b", "`a b` is no KEY: write it without blanks, or between apostrophes"),
    ("READ ON KEY \u{e4}", "`\u{e4}` is no KEY: write it without blanks, or between apostrophes"),
];

#[test]
fn a_kind_has_its_name_and_its_privileges() {
    assert_eq!((KINDS[1].name(), KINDS[1].privileges()[2]), ("TABLE", "LOCK TABLES"));
    assert_eq!((KINDS[4].name(), KINDS[4].privileges()), ("KEY", &["READ"][..]));
}

#[test]
fn invalid_texts_are_refused() {
    for (text, message) in INVALID {
        assert_eq!(read(text).unwrap_err(), format!("{message} [malformed_value]"), "{text}");
    }
    let without_names = &KINDS[1..2];
    assert!(
        Needs::parse("SELECT", "Shop", without_names)
            .unwrap_err()
            .starts_with("`SELECT` does not say on what")
    );
}

#[test]
fn the_first_of_the_nearest_privileges_is_suggested_and_a_long_list_is_cut() {
    const LONG: &str = "A PRIVILEGE WITH A NAME THAT HAS FIFTY CHARACTERS";
    const KINDS: &[Grantable] = &[
        Grantable::new("KEY", &["READ", "LEAD"], Names::Patterns),
        Grantable::new("LOCK", &[LONG; 16], Names::Patterns),
    ];
    let wrong = |text| Needs::parse(text, "Shop", KINDS).unwrap_err();
    assert!(wrong("EAD ON KEY a").contains(": write `READ`"));
    let cut = wrong("x ON LOCK a");
    assert!(cut.len() == 512 && cut.starts_with("`x` is not a privilege"), "{cut}");
}

#[test]
fn identifiers_are_split() {
    let needs = Needs::parse(
        "SELECT (id, \"Name\") ON billing.\"Or.ders\"; EXECUTE ON FUNCTION b.settle(a.int)",
        "Shop",
        KINDS,
    )
    .unwrap();
    let names = |list: Vec<Identifier>| {
        list.into_iter().map(|part| (part.name, part.is_quoted)).collect::<Vec<_>>()
    };
    let [select, execute] = needs.list.as_slice() else { panic!("two needs") };
    assert_eq!(
        names(select.columns.clone()),
        [("id".to_owned(), false), ("Name".to_owned(), true)]
    );
    assert_eq!(
        names(select.identifiers()),
        [("billing".to_owned(), false), ("Or.ders".to_owned(), true)]
    );
    assert_eq!(
        names(execute.identifiers()),
        [("b".to_owned(), false), ("settle".to_owned(), false)]
    );
    assert_eq!(execute.arguments(), ["a.int"]);
    let awkward =
        Needs::parse("EXECUTE ON FUNCTION \"a(b\"( int, \"x,y\" [] ), nothing()", "Shop", KINDS)
            .unwrap();
    let [one, other] = awkward.list.as_slice() else { panic!("two needs") };
    assert_eq!(names(one.identifiers()), [("a(b".to_owned(), true)]);
    assert_eq!(one.arguments(), ["int", "\"x,y\" []"]);
    assert_eq!(
        (names(other.identifiers()), other.arguments()),
        (vec![("nothing".to_owned(), false)], vec![])
    );
}

#[test]
fn parsing_a_hostile_text_terminates() {
    for text in [
        "((((", "\"`'", "a\u{0}b ON c", "ON ON ON", ";;;;,", "SELECT ON a;\u{301}",
        "'\u{1f600}' ON \u{1f600}",
    ] {
        assert!(read(text).is_err(), "{text}");
    }
    let long = format!("x{} ON a", "\u{e4}".repeat(600));
    assert_eq!(
        read(&long).unwrap_err(),
        format!(
            "`x{}…` is not a privilege of Shop on a TABLE: there are `SELECT`, `INSERT`, `LOCK \
             TABLES` [malformed_value]",
            "\u{e4}".repeat(63)
        )
    );
}

#[test]
fn differences_are_named_with_their_statements() {
    let list: Vec<_> = (0..40)
        .map(|i| Difference::new(format!("SELECT ON t{i}\u{1b}"), "REVOKE ALL ON x;"))
        .collect();
    let finding = Finding::excess_privileges(&list).unwrap();
    assert!(finding.message().ends_with("SELECT ON t31\\u{1b}; and 8 more"), "{finding}");
    assert_eq!(finding.help(), "REVOKE ALL ON x;");
    assert_eq!(Finding::missing_privileges(&list).unwrap().message().matches("SELECT").count(), 40);
    let finding = Finding::excess_privileges(&list[..32]).unwrap();
    assert!(finding.message().ends_with("SELECT ON t31\\u{1b}"), "{finding}");
    assert!(Finding::excess_privileges(&[]).is_none());
    assert!(Finding::missing_privileges(&[]).is_none());
}
