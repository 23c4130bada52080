//! Names and texts, quoted for the program that reads them.

/// A word for a shell.
pub(crate) fn for_shell(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// An identifier for PostgreSQL.
pub(crate) fn for_postgres(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// An identifier for MySQL and MariaDB.
pub(crate) fn for_mysql(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// A text for MySQL and MariaDB, in every `sql_mode`: in some modes a backslash is an escape.
pub(crate) fn literal_for_mysql(text: &str) -> String {
    if text.contains('\\') {
        let digits: String = text.bytes().map(|byte| format!("{byte:02X}")).collect();
        return format!("CONVERT(X'{digits}' USING utf8mb4)");
    }
    format!("'{}'", text.replace('\'', "''"))
}
