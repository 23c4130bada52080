//! The command that makes the tables, before the accounts get their privileges.

use std::process::{Command, Output, Stdio};

use crate::{DevError, error};

/// A database to migrate.
pub(super) struct Database {
    /// `SHOP_ORDERS_ADMIN_URL`.
    pub(super) variable: String,
    pub(super) administrator: Administrator,
}

/// The access of an administrator to one database.
#[derive(Clone)]
pub(super) struct Administrator {
    pub(super) locator: String,
    /// Part of the locator. `None` for a file.
    pub(super) password: Option<String>,
}

/// Stands for a password in the output.
const MASK: &str = "…";

/// Runs the command in a shell, and returns its output without the passwords of administrators.
///
/// It has the environment of this process. `DATABASE_URL` is the only database, and empty if there
/// are several: a value of another origin must not lead the migrations to another server. Tools
/// that read a `.env` file keep an empty value.
pub(super) fn run(command: &str, databases: &[Database]) -> Result<String, DevError> {
    let only = match databases {
        [only] => only.administrator.locator.as_str(),
        _ => "",
    };
    let mut shell = Command::new("sh");
    shell.args(["-c", command]).env("DATABASE_URL", only).stdin(Stdio::null());
    for database in databases {
        shell.env(&database.variable, &database.administrator.locator);
    }
    let output = shell.output().map_err(|error| DevError::system("cannot start `sh`", &error))?;
    let output = Output {
        status: output.status,
        stdout: masked(&output.stdout, databases),
        stderr: masked(&output.stderr, databases),
    };
    if output.status.success() { Ok(error::said(&output)) } else { Err(failed(command, &output)) }
}

fn failed(command: &str, output: &Output) -> DevError {
    let command = backing_services_runtime::posture::printable(command);
    DevError::new(format!("the migrations: {}", DevError::failed(&command, output)))
}

fn masked(text: &[u8], databases: &[Database]) -> Vec<u8> {
    let mut text = String::from_utf8_lossy(text).into_owned();
    for password in databases.iter().filter_map(|each| each.administrator.password.as_ref()) {
        text = text.replace(password, MASK);
    }
    text.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn database(name: &str) -> Database {
        Database {
            variable: format!("SHOP_{name}_ADMIN_URL"),
            administrator: Administrator {
                locator: format!("postgres://administrator:hunter2@localhost/{name}"),
                password: Some("hunter2".to_owned()),
            },
        }
    }

    #[test]
    fn the_only_database_is_in_the_usual_variable_and_no_password_in_the_output() {
        let said = run("echo $DATABASE_URL; echo $SHOP_A_ADMIN_URL >&2", &[database("A")]);
        let expected = "postgres://administrator:…@localhost/A\n";
        assert_eq!(said.unwrap(), expected.repeat(2));
    }

    #[test]
    fn several_databases_have_their_own_variables_alone() {
        let script = "echo \"[${DATABASE_URL-absent}]\"; echo $SHOP_A_ADMIN_URL $SHOP_B_ADMIN_URL";
        let said = run(script, &[database("A"), database("B")]).unwrap();
        let locator = |name| format!("postgres://administrator:…@localhost/{name}");
        assert_eq!(said, format!("[]\n{} {}\n", locator("A"), locator("B")));
    }

    #[test]
    fn a_failure_ends_with_the_text_of_the_command() {
        let error = run("echo no such table; echo $DATABASE_URL; exit 3", &[database("A")]);
        assert_eq!(
            error.unwrap_err().to_string(),
            "the migrations: `echo no such table; echo $DATABASE_URL; exit 3` failed (exit \
             status: 3):\nno such table\npostgres://administrator:…@localhost/A"
        );
    }
}
