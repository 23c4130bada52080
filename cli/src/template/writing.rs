//! The quoting of values for each format, so that a value stays a value. It is applied unless a
//! template marks the text as a comment.

use std::fmt::Write as _;

use backing_services_runtime::__cli::{is_invisible, printable_up_to};
use minijinja::syntax::SyntaxConfig;
use minijinja::{
    AutoEscape, Environment, Error, ErrorKind, Output, State, UndefinedBehavior, Value,
};

/// The template environment. The suffix of a template's name selects the format.
pub(super) fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    // A line that contains only a block tag is not printed.
    if let Ok(syntax) = SyntaxConfig::builder()
        .trim_blocks(true)
        .lstrip_blocks(true)
        .keep_trailing_newline(true)
        .build()
    {
        environment.set_syntax(syntax);
    }
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|name| {
        let format = name.rsplit_once('.').map_or(name, |(_, ending)| ending);
        AutoEscape::Custom(format.to_owned().into())
    });
    environment.set_formatter(format);
    environment.add_filter("comment", comment);
    environment.add_filter("commented", commented);
    environment.add_filter("plain", plain);
    environment.add_filter("literal", literal);
    environment.add_filter("words", words);
    environment.add_filter("block", block);
    environment.add_filter("credential", credential);
    environment
}

/// Writes a value, quoted for the format of the template.
fn format(out: &mut Output, state: &mut State, value: &Value) -> Result<(), Error> {
    if value.is_undefined() {
        return Err(Error::from(ErrorKind::UndefinedError));
    }
    let AutoEscape::Custom(format) = state.auto_escape() else {
        return Err(unwritable("a value of no format"));
    };
    let text = match value.as_str() {
        Some(text) if value.is_safe() => text.to_owned(),
        None => value.to_string(),
        Some(text) => match format.as_ref() {
            "env" => {
                in_env_file(text).ok_or_else(|| unwritable("a value that no quoting protects"))?
            }
            "yaml" => in_json(text)?,
            "service" => in_unit(text),
            _ => return Err(unwritable("a value of an unknown format")),
        },
    };
    out.write_str(&text).map_err(Error::from)
}

fn unwritable(what: &'static str) -> Error {
    Error::new(ErrorKind::InvalidOperation, what)
}

/// Text for a comment: each line begins with the comment sign, and no character is invisible.
/// `indent` is the column of the sign.
fn comment(text: &str, indent: Option<usize>) -> Value {
    let next = format!("\n{:indent$}# ", "", indent = indent.unwrap_or(0));
    let lines: Vec<_> = text.lines().map(|line| printable_up_to(line, usize::MAX)).collect();
    Value::from_safe_string(lines.join(&next))
}

/// Turns a block into a comment, line by line, if `really` is true.
fn commented(block: &str, really: bool) -> Value {
    if !really {
        return Value::from_safe_string(block.to_owned());
    }
    let mut commented = String::new();
    for line in block.split_inclusive('\n') {
        let is_one = line.starts_with('#') || line.trim().is_empty();
        commented.push_str(if is_one { "" } else { "# " });
        commented.push_str(line);
    }
    Value::from_safe_string(commented)
}

/// A word that no format has to quote: a name or a path of ours.
fn plain(text: &str) -> Result<Value, Error> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-./".contains(c);
    if text.is_empty() || !text.chars().all(is_plain) {
        return Err(unwritable("a word that has to be quoted"));
    }
    Ok(Value::from_safe_string(text.to_owned()))
}

/// A text without substitution: neither Kubernetes (`$(NAME)`) nor Compose (`$NAME`, `${NAME}`)
/// replaces anything in it.
fn literal(text: &str) -> String {
    text.replace('$', "$$")
}

/// A list of literal words.
fn words(words: Vec<String>) -> Result<Value, Error> {
    let words: Vec<_> =
        words.iter().map(|word| in_json(&literal(word))).collect::<Result<_, _>>()?;
    Ok(Value::from_safe_string(format!("[{}]", words.join(", "))))
}

/// The lines of a text as a YAML block that is indented to a column. If a block would change the
/// text, any other YAML scalar.
fn block(text: &str, indent: usize) -> Result<Value, Error> {
    let is_odd = |line: &str| !line.is_empty() && line.trim().is_empty();
    let stays = text.ends_with('\n')
        && !text.ends_with("\n\n")
        && !text.starts_with([' ', '\n'])
        && !text
            .split('\n')
            .any(|line| is_odd(line) || line.chars().any(|c| c.is_control() || is_invisible(c)));
    if !stays {
        return in_json(text).map(Value::from_safe_string);
    }
    let mut block = "|".to_owned();
    for line in text.lines() {
        block.push('\n');
        if !line.is_empty() {
            block.push_str(&" ".repeat(indent));
            block.push_str(line);
        }
    }
    Ok(Value::from_safe_string(block))
}

/// The name of a variable's credential. It differs from the name of the variable, because
/// `SystemdCredentials` would find it beside `NAME_FILE`, and two places are an error.
fn credential(variable: &str) -> String {
    variable.to_ascii_lowercase().replace('_', "-")
}

/// A quoting that every reader of such a file understands alike: dotenvy, a shell, and Compose.
/// Without quotes, `docker run --env-file` reads it too. That knows no quotes.
pub(crate) fn in_env_file(text: &str) -> Option<String> {
    let stands_alone = |c: char| c.is_ascii_alphanumeric() || "_-.,/:@%+=?".contains(c);
    let has = |any: &[char]| text.contains(any);
    if text.chars().all(stands_alone) {
        Some(text.to_owned())
    } else if text.chars().any(|c| c.is_control() || is_invisible(c)) || has(&['\\']) {
        None
    } else if !has(&['\'']) {
        Some(format!("'{text}'"))
    } else if !has(&['"', '$', '`', '!']) {
        Some(format!("\"{text}\""))
    } else {
        None
    }
}

/// A JSON string, which is also a YAML scalar. Invisible characters beyond 16 bits are escaped in
/// the style of YAML.
fn in_json(text: &str) -> Result<String, Error> {
    let json = serde_json::to_string(text).map_err(|_| unwritable("a value that is no JSON"))?;
    let mut quoted = String::with_capacity(json.len());
    for c in json.chars() {
        // Some of them end a line in YAML 1.1, and all of them are invisible.
        if c.is_control() || is_invisible(c) {
            let number = u32::from(c);
            // Writing to a `String` cannot fail. YAML does not read a surrogate pair as one
            // character.
            let _ = if number > 0xffff {
                write!(quoted, "\\U{number:08x}")
            } else {
                write!(quoted, "\\u{number:04x}")
            };
        } else {
            quoted.push(c);
        }
    }
    Ok(quoted)
}

/// A quoted word of a systemd unit (systemd.syntax(7)) in which `%` does not begin a specifier.
fn in_unit(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '%' => quoted.push_str("%%"),
            c if c.is_control() || is_invisible(c) => {
                let mut bytes = [0; 4];
                for byte in c.encode_utf8(&mut bytes).bytes() {
                    let _ = write!(quoted, "\\x{byte:02x}");
                }
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_quoted_stays_one_value() {
        for (text, written) in [
            ("20", Some("20")),
            ("__rediss://HOST:6379__", Some("__rediss://HOST:6379__")),
            ("", Some("")),
            ("a b#c$d", Some("'a b#c$d'")),
            ("it's", Some("\"it's\"")),
            ("it's $(touch x)", None),
            ("a\nB=c", None),
            ("a\\", None),
        ] {
            assert_eq!(in_env_file(text).as_deref(), written, "{text:?}");
        }
        assert_eq!(in_json("a\"\n\u{2028}\u{85}: {").unwrap(), r#""a\"\n\u2028\u0085: {""#);
        assert_eq!(in_json("a\u{e0041}").unwrap(), r#""a\U000e0041""#);
        assert_eq!(in_unit("100%n \"\\\n"), r#""100%%n \"\\\x0a""#);
    }

    #[test]
    fn a_block_is_one_only_where_its_text_stays_what_it_is() {
        let text = |value: Value| value.as_str().unwrap().to_owned();
        assert_eq!(
            text(block("a: b\n\n  # c\n---\n", 4).unwrap()),
            "|\n    a: b\n\n      # c\n    ---"
        );
        for odd in [
            "a", "", "\n", "a\n\n", " a\n", "\na\n", "a\n  \nb\n", "a\tb\n", "a\u{2028}b\n",
            "a\r\n",
        ] {
            assert!(text(block(odd, 4).unwrap()).starts_with('"'), "{odd:?}");
        }
        let list = ["a $HOME", "\"b\\"].map(str::to_owned).to_vec();
        assert_eq!(text(words(list).unwrap()), r#"["a $$HOME", "\"b\\"]"#);
    }

    #[test]
    fn a_comment_stays_one() {
        let text = |value: Value| value.as_str().unwrap().to_owned();
        assert_eq!(
            text(comment("a\r\nb\rc\u{85}d\u{2028}e", Some(2))),
            "a\n  # b\\rc\\u{85}d\\u{2028}e"
        );
        assert_eq!(text(commented("a\n\n# b\n  c", true)), "# a\n\n# b\n#   c");
        assert!(
            plain("a b").is_err()
                && plain("a\n").is_err()
                && plain("").is_err()
                && plain("/a-b_c.d").is_ok()
        );
    }
}
