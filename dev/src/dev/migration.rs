//! The command that makes the tables, before the accounts get their privileges.

use std::io::{self, BufRead as _, BufReader, Read};
use std::process::{Command, Output, Stdio};
use std::sync::{Mutex, PoisonError};

use crate::DevError;

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

/// Runs the command in a shell, and reports each line of its output as it comes, without the
/// passwords of administrators.
///
/// It has the environment of this process. `DATABASE_URL` is the only database, and empty if there
/// are several: a value of another origin must not lead the migrations to another server. Tools
/// that read a `.env` file keep an empty value.
pub(super) fn run(
    command: &str,
    databases: &[Database],
    report: impl Fn(&str) + Sync,
) -> Result<(), DevError> {
    let only = match databases {
        [only] => only.administrator.locator.as_str(),
        _ => "",
    };
    let mut shell = Command::new("sh");
    shell.args(["-c", command]).env("DATABASE_URL", only).stdin(Stdio::null());
    for database in databases {
        shell.env(&database.variable, &database.administrator.locator);
    }
    shell.stdout(Stdio::piped()).stderr(Stdio::piped());
    let cannot = |error: io::Error| DevError::system("cannot start `sh`", &error);
    let mut child = shell.spawn().map_err(cannot)?;
    // In the order in which the lines come, of both outputs.
    let said = Mutex::new(String::new());
    let hear = |output: Option<Box<dyn Read + Send>>| {
        for line in output.into_iter().flat_map(|output| BufReader::new(output).split(b'\n')) {
            // A shell reports the error as its own status.
            let Ok(line) = line else { return };
            let line = masked(&line, databases);
            let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
            report(&line);
            said.push_str(&line);
            said.push('\n');
        }
    };
    let (out, err) = (child.stdout.take(), child.stderr.take());
    std::thread::scope(|scope| {
        scope.spawn(|| hear(out.map(|out| Box::new(out) as Box<_>)));
        hear(err.map(|err| Box::new(err) as Box<_>));
    });
    let status = child.wait().map_err(cannot)?;
    if status.success() {
        return Ok(());
    }
    let stdout = said.into_inner().unwrap_or_else(PoisonError::into_inner).into_bytes();
    Err(failed(command, &Output { status, stdout, stderr: Vec::new() }))
}

fn failed(command: &str, output: &Output) -> DevError {
    let command = backing_services_runtime::posture::printable(command);
    DevError::new(format!("the migrations: {}", DevError::failed(&command, output)))
}

fn masked(text: &[u8], databases: &[Database]) -> String {
    let mut text = String::from_utf8_lossy(text).into_owned();
    for password in databases.iter().filter_map(|each| each.administrator.password.as_ref()) {
        text = text.replace(password, MASK);
    }
    text
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

    /// Runs it, and returns the result with all lines.
    fn heard(command: &str, databases: &[Database]) -> (Result<(), DevError>, String) {
        let said = Mutex::new(String::new());
        let ended = run(command, databases, |line| {
            let mut said = said.lock().unwrap();
            said.push_str(line);
            said.push('\n');
        });
        (ended, said.into_inner().unwrap())
    }

    #[test]
    fn the_only_database_is_in_the_usual_variable_and_no_password_in_the_output() {
        let (ended, said) =
            heard("echo $DATABASE_URL; echo $SHOP_A_ADMIN_URL >&2", &[database("A")]);
        ended.unwrap();
        let expected = "postgres://administrator:…@localhost/A\n";
        assert_eq!(said, expected.repeat(2));
    }

    #[test]
    fn several_databases_have_their_own_variables_alone() {
        let script = "echo \"[${DATABASE_URL-absent}]\"; echo $SHOP_A_ADMIN_URL $SHOP_B_ADMIN_URL";
        let (ended, said) = heard(script, &[database("A"), database("B")]);
        ended.unwrap();
        let locator = |name| format!("postgres://administrator:…@localhost/{name}");
        assert_eq!(said, format!("[]\n{} {}\n", locator("A"), locator("B")));
    }

    #[test]
    fn a_line_is_reported_before_the_command_ends() {
        let file = tempfile::NamedTempFile::new().unwrap();
        // It waits until the first line has been reported.
        let command = format!(
            "echo first; for i in $(seq 100); do test -s {0} && exec echo last; sleep 0.1; done; \
             exit 1",
            file.path().display()
        );
        run(&command, &[database("A")], |_| std::fs::write(file.path(), "heard").unwrap()).unwrap();
    }

    #[test]
    fn a_failure_ends_with_the_text_of_the_command() {
        let (error, _) = heard("echo no such table; echo $DATABASE_URL; exit 3", &[database("A")]);
        assert_eq!(
            error.unwrap_err().to_string(),
            "the migrations: `echo no such table; echo $DATABASE_URL; exit 3` failed (exit \
             status: 3):\nno such table\npostgres://administrator:…@localhost/A"
        );
    }
}
