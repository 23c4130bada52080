//! Any text as `needs`.

use backing_services_fuzz::check;

use super::tests::KINDS;
use super::*;

const EXAMPLES: &[&str] = &[
    "SELECT, INSERT ON orders, billing.\"Or.ders\"; PING",
    "SELECT (id, \"Full; Name\"), insert(`a,b`) on TABLE a;",
    "EVENT ON TABLES OF shop.*, *; LOCK \n TABLES ON t$1",
    "EXECUTE ON FUNCTION b.settle(int, pg_catalog.text[]), \"a(b\"( int, \"x,y\" [] ), nothing()",
    "READ ON KEY session:*, 'a b,c;d', ~x",
    "create  temporary\ttables",
    "SELECT ON \u{e4}, 'x', \"y",
];

/// A text is read or refused. What was read, written again, is read as the same.
#[test]
fn any_text_is_read_or_refused() {
    check!(EXAMPLES, |input| {
        let text = input.text();
        match Needs::parse(&text, "Shop", KINDS) {
            Ok(needs) => {
                assert!(needs.iter().next().is_some(), "{text:?}");
                needs.iter().for_each(read_again);
            }
            Err(message) => {
                assert!(message.ends_with("[malformed_value]"), "{text:?}: {message}");
                assert!(message.len() <= 512, "{text:?}: {message}");
            }
        }
    });
}

fn read_again(need: &Need) {
    let kind = KINDS.iter().find(|kind| kind.name == need.kind).expect("a kind");
    assert!(kind.privileges.contains(&need.privilege), "{need:?}");
    assert_eq!(need.object.is_none(), kind.names == Names::None, "{need:?}");
    let mut text = need.privilege.to_owned();
    let columns: Vec<_> = need.columns.iter().map(written).collect();
    if !columns.is_empty() {
        assert!(kind.of_columns.contains(&need.privilege), "{need:?}");
        let _ = write!(text, "({})", columns.join(","));
    }
    if let Some(object) = &need.object {
        let mark = if kind.names == Names::Patterns { "'" } else { "" };
        let _ = write!(text, " ON {} {mark}{object}{mark}", need.kind);
    }
    let again = Needs::parse(&text, "Shop", KINDS).unwrap_or_else(|why| panic!("{text}: {why}"));
    assert_eq!(again.list, std::slice::from_ref(need), "{text}");
    // Its name is the one that its parts have.
    let parts = || need.identifiers().iter().map(written).collect::<Vec<_>>();
    match kind.names {
        Names::Identifiers(_) => {
            let object = need.object.as_deref().unwrap_or_default().replace('`', "\"");
            assert_eq!(parts().join("."), object, "{need:?}");
        }
        Names::Routines(most) => {
            assert!((1..=usize::from(most)).contains(&parts().len()), "{need:?}");
            assert!(need.arguments().iter().all(|argument| *argument == argument.trim()));
        }
        _ => {}
    }
}

fn written(identifier: &Identifier) -> String {
    let Identifier { name, is_quoted } = identifier;
    assert!(!name.is_empty() && !name.contains(['"', '`', '\'', '\\']), "{name:?}");
    assert!(!name.chars().any(|c| c.is_ascii_control()), "{name:?}");
    if *is_quoted { format!("\"{name}\"") } else { name.clone() }
}
