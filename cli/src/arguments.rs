//! The command line: its grammar and the parsed arguments.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anstream::ColorChoice;
use backing_services_rules::RULES;
use backing_services_runtime::Manifest;
use backing_services_runtime::manifest::Category;
use backing_services_runtime::posture::printable;
use backing_services_runtime::problem::FailureKind;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::error::ErrorKind;
use clap::{Arg, ArgAction, ArgMatches, Error, ValueHint, value_parser};
use clap_complete::Shell;

use super::ExitReason;
use crate::report::Command;
use crate::template::{KINDS, Kind};

/// A parsed command line.
pub(super) struct Arguments {
    /// The name that the program was called by.
    pub(super) program: String,
    /// The command line as it was given, for a repetition of the same run.
    pub(super) line: String,
    pub(super) color: ColorChoice,
    pub(super) task: Task,
}

pub(super) enum Task {
    Report {
        command: Command,
        env_file: Option<PathBuf>,
        only: Option<String>,
        deadline: Duration,
        format: Format,
    },
    Manifest,
    Template(Kind),
    Grants {
        field: String,
        account: Option<String>,
        database: Option<String>,
    },
    #[cfg(feature = "dev")]
    Dev(crate::dev::Options),
    /// The name of a rule or of a kind of failure. `None` lists all of them.
    Explain(Option<String>),
    Completions(Shell),
}

/// The format of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Text,
    Json,
    Sarif,
    Junit,
    Html,
}

const FORMATS: [(&str, Format); 5] = [
    ("text", Format::Text),
    ("json", Format::Json),
    ("sarif", Format::Sarif),
    ("junit", Format::Junit),
    ("html", Format::Html),
];

/// The longest `--deadline` in seconds: one hour.
const LONGEST_DEADLINE: u64 = 3600;

/// Parses a command line. Help and version are among the errors. Each error comes with its choice
/// of colours.
pub(super) fn parse(
    manifest: &'static Manifest,
    arguments: impl IntoIterator<Item = OsString>,
) -> Result<Arguments, (ColorChoice, Error)> {
    let arguments: Vec<_> = arguments.into_iter().collect();
    let program = arguments.first().and_then(|path| Path::new(path).file_name());
    let program = program.map_or_else(
        || manifest.struct_name().to_owned(),
        |name| printable(&name.to_string_lossy()),
    );
    let matches = match command(manifest, &program).try_get_matches_from(&arguments) {
        Ok(matches) => matches,
        Err(error) => {
            let error = without_escapes(manifest, &program, &arguments).unwrap_or(error);
            // After an error, read `--color` from whatever else can be parsed.
            let flag = |name: &'static str, short| {
                Arg::new(name).long(name).short(short).global(true).action(ArgAction::SetTrue)
            };
            let lenient = command(manifest, &program)
                .ignore_errors(true)
                .subcommand_required(false)
                .arg_required_else_help(false);
            let lenient = lenient
                .disable_help_flag(true)
                .disable_version_flag(true)
                .disable_help_subcommand(true);
            let lenient = lenient.args([flag("help", 'h'), flag("version", 'V')]);
            let color = lenient
                .try_get_matches_from(arguments)
                .map_or(ColorChoice::Auto, |matches| colored(&matches));
            return Err((color, error));
        }
    };
    let color = colored(&matches);
    let task = match matches.subcommand() {
        Some(("check", matches)) => report(Command::Check, manifest, matches),
        Some(("attach", matches)) => report(Command::Attach, manifest, matches),
        Some(("posture", matches)) => report(Command::Posture, manifest, matches),
        Some(("grants", matches)) => Task::Grants {
            field: text(matches, "FIELD").unwrap_or_default(),
            account: text(matches, "account"),
            database: text(matches, "database"),
        },
        Some(("template", matches)) => {
            let kind = text(matches, "KIND");
            let kind = KINDS.iter().find(|(name, ..)| Some(*name) == kind.as_deref());
            Task::Template(kind.map_or(Kind::Env, |(_, kind, _)| *kind))
        }
        #[cfg(feature = "dev")]
        Some(("dev", matches)) => Task::Dev(crate::dev::Options {
            migration: text(matches, "migrate"),
            keeps: matches.get_flag("keep"),
            left_out: several(matches, "without"),
            command: several(matches, "PROGRAM"),
        }),
        Some(("explain", matches)) => Task::Explain(text(matches, "RULE")),
        Some(("completions", matches)) => {
            Task::Completions(matches.get_one("SHELL").copied().unwrap_or(Shell::Bash))
        }
        // clap accepts the subcommands above and `manifest`, and no other.
        _ => Task::Manifest,
    };
    let words = arguments.iter().skip(1).map(|argument| word(&argument.to_string_lossy()));
    let line = std::iter::once(program.clone()).chain(words).collect::<Vec<_>>().join(" ");
    Ok(Arguments { program, line, color, task })
}

/// The same error for a command line that is printable, because clap repeats the wrong argument in
/// its message. `None` if only the argument's lack of Unicode was the error: clap does not repeat
/// that one.
fn without_escapes(
    manifest: &'static Manifest,
    program: &str,
    arguments: &[OsString],
) -> Option<Error> {
    let printable = arguments.iter().map(|argument| printable(&argument.to_string_lossy()));
    command(manifest, program).try_get_matches_from(printable).err()
}

/// A word of a command line, quoted for a shell and printable.
fn word(word: &str) -> String {
    let word = printable(word);
    let is_plain = |c: char| c.is_alphanumeric() || "_-.,/:@%+=".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        word
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

fn colored(matches: &ArgMatches) -> ColorChoice {
    match text(matches, "color").as_deref() {
        Some("always") => ColorChoice::Always,
        Some("never") => ColorChoice::Never,
        _ => ColorChoice::Auto,
    }
}

fn report(command: Command, manifest: &'static Manifest, matches: &ArgMatches) -> Task {
    let option = |name| matches.try_contains_id(name).unwrap_or(false).then_some(name);
    let format = text(matches, "format");
    Task::Report {
        command,
        env_file: matches.get_one("env-file").cloned(),
        only: option("only").and_then(|name| text(matches, name)),
        deadline: option("deadline")
            .and_then(|name| matches.get_one(name).copied())
            .map_or(manifest.deadline(), Duration::from_secs),
        format: FORMATS
            .iter()
            .find(|(name, _)| Some(*name) == format.as_deref())
            .map_or(Format::Text, |(_, format)| *format),
    }
}

fn text(matches: &ArgMatches, name: &str) -> Option<String> {
    matches.get_one(name).cloned()
}

#[cfg(feature = "dev")]
fn several<T: Clone + Send + Sync + 'static>(matches: &ArgMatches, name: &str) -> Vec<T> {
    matches.get_many(name).into_iter().flatten().cloned().collect()
}

/// A shell script that completes this command line. The script contains the program's name in many
/// places, and not all of them can be quoted. So the name has to be plain.
pub(super) fn completions(
    manifest: &'static Manifest,
    program: &str,
    shell: Shell,
) -> Result<Vec<u8>, ExitReason> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if program.starts_with('-') || !program.chars().all(is_plain) {
        return Err(Box::new(format!(
            "a shell cannot complete a program that is called `{program}`: call it by a name of \
             letters, digits, `.`, `_` and `-` alone, which does not begin with `-`"
        )));
    }
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command(manifest, program), program, &mut script);
    Ok(script)
}

/// Parses the path of a field.
#[derive(Clone)]
struct FieldParser {
    known: PossibleValuesParser,
    fields: Vec<String>,
}

impl FieldParser {
    fn of(fields: Vec<String>) -> Self {
        Self { known: PossibleValuesParser::new(&fields), fields }
    }
}

impl TypedValueParser for FieldParser {
    type Value = String;

    fn parse_ref(
        &self,
        command: &clap::Command,
        argument: Option<&Arg>,
        value: &OsStr,
    ) -> Result<String, Error> {
        let beginning = value.to_str().map(|value| format!("{value}."));
        let is_below = |field: &&String| {
            beginning.as_ref().is_some_and(|beginning| field.starts_with(beginning))
        };
        let below: Vec<_> =
            self.fields.iter().filter(is_below).map(|field| format!("`{field}`")).collect();
        if below.is_empty() {
            return self.known.parse_ref(command, argument, value);
        }
        // The value is a prefix of a path of ours, so it is printable.
        let why = format!(
            "`{}` is a struct, and no field to check alone: name one of its fields, {}",
            value.display(),
            below.join(", ")
        );
        Err(command.clone().error(ErrorKind::InvalidValue, why))
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        self.known.possible_values()
    }
}

/// Parses the seconds of `--deadline`.
fn seconds(text: &str) -> Result<u64, String> {
    let seconds = text.parse().ok().filter(|seconds| (1..=LONGEST_DEADLINE).contains(seconds));
    seconds.ok_or_else(|| format!("it is a whole number of seconds, from 1 to {LONGEST_DEADLINE}"))
}

/// The grammar of the command line.
fn command(manifest: &'static Manifest, program: &str) -> clap::Command {
    let (mut fields, mut resources) = (Vec::new(), Vec::new());
    manifest.walk(&mut |leaf| {
        if matches!(leaf.field.category(), Category::Resource(_)) {
            resources.push(leaf.path.to_string());
        }
        fields.push(leaf.path.into_owned());
    });
    let attaching = [env_file(), only(fields), deadline(manifest), format()];

    let command = clap::Command::new(program.to_owned())
        .bin_name(program)
        // The version of the application is not known here. `--version` prints this name, followed
        // by the version of this crate.
        .display_name(format!("{program},"))
        .version(concat!("by backing-services ", env!("CARGO_PKG_VERSION")))
        .about(format!("What `{}` attaches to, and whether it can", manifest.struct_name()))
        .after_help(concat!(
            "Exit status: 0 if nothing is refused; 1 if something is; 2 if the command \
             line is wrong, a file that it names cannot be read, or the output cannot be written; ",
            "129, 130, 131 and 143 if a signal ended it."
        ))
        .subcommand_required(true)
        .arg_required_else_help(true)
        .arg(color())
        .subcommands([
            clap::Command::new("check")
                .about("Load and validate every value; open no connection")
                .args([env_file(), format()]),
            clap::Command::new("attach")
                .about("Attach to everything here and now, report the result, and detach")
                .args(attaching.clone()),
            clap::Command::new("posture")
                .about("Attach, and print all that it taught: over what, as whom, to what")
                .args(attaching),
            clap::Command::new("manifest").about("Print what this program attaches to, as JSON"),
            template(),
            grants(resources.clone()),
        ]);
    #[cfg(feature = "dev")]
    let command = command.subcommand(dev(resources));
    command.subcommands([explain(), completions_command()])
}

fn template() -> clap::Command {
    let kinds = KINDS.map(|(name, _, what)| PossibleValue::new(name).help(what));
    let kind = Arg::new("KIND").required(true).value_parser(kinds.to_vec()).help("What to write");
    clap::Command::new("template")
        .about("Write what a deploy has to give, as a file to begin with")
        .arg(kind)
}

fn grants(resources: Vec<String>) -> clap::Command {
    let resource = Arg::new("FIELD")
        .required(true)
        .value_parser(FieldParser::of(resources))
        .help("The resource's field");
    let name = |name: &'static str| Arg::new(name).long(name).value_name("NAME");
    clap::Command::new("grants")
        .about("Print the statements that create the least-privileged account for a field")
        .args([
            resource,
            name("account").help("The account's name, instead of the field's"),
            name("database")
                .help("The database, the virtual host, or what else the locator's path means"),
        ])
}

#[cfg(feature = "dev")]
fn dev(resources: Vec<String>) -> clap::Command {
    let migrate = Arg::new("migrate")
        .long("migrate")
        .value_name("COMMAND")
        .value_hint(ValueHint::CommandString)
        .help(
            "Run this command in a shell before the accounts get their privileges, with an \
             administrator's locator in DATABASE_URL, or in SHOP_ORDERS_ADMIN_URL for the field of \
             SHOP_ORDERS_URL",
        );
    let keep = Arg::new("keep").long("keep").action(ArgAction::SetTrue).help(
        "Keep the data of the servers in the folder of the variables, for the next run with this \
         option",
    );
    let without = Arg::new("without")
        .long("without")
        .value_name("FIELD")
        .action(ArgAction::Append)
        .value_parser(FieldParser::of(resources))
        .hide_possible_values(true)
        .help("Start no server for this optional field; it may be repeated");
    let program = Arg::new("PROGRAM")
        .last(true)
        .num_args(1..)
        .value_hint(ValueHint::CommandWithArguments)
        .value_parser(value_parser!(OsString))
        .help("Run this program with the variables, and stop the servers when it ends");
    clap::Command::new("dev")
        .about(
            "Start a server for each resource on this machine, with TLS and the account of \
             `needs`, until an interrupt",
        )
        .args([migrate, keep, without, program])
}

fn explain() -> clap::Command {
    let rules = RULES.iter().map(|rule| rule.name);
    let failures = FailureKind::ALL.iter().map(|kind| kind.name());
    let rule = Arg::new("RULE")
        .value_parser(PossibleValuesParser::new(rules.chain(failures)))
        .hide_possible_values(true)
        .help("The name of the rule or of the kind of failure, as a report has it in brackets");
    clap::Command::new("explain")
        .about(
            "Say what a rule demands or a failure means, and what to do; without a name, list \
             them all",
        )
        .arg(rule)
}

fn completions_command() -> clap::Command {
    let shell = Arg::new("SHELL")
        .required(true)
        .value_parser(value_parser!(Shell))
        .help("The shell that reads them");
    clap::Command::new("completions").about("Print completions for a shell").arg(shell)
}

fn color() -> Arg {
    Arg::new("color")
        .long("color")
        .value_name("WHEN")
        .value_parser(PossibleValuesParser::new(["auto", "always", "never"]))
        .default_value("auto")
        .global(true)
        .help("When to use colours; `auto` heeds NO_COLOR")
}

fn env_file() -> Arg {
    Arg::new("env-file")
        .long("env-file")
        .value_name("FILE")
        .value_hint(ValueHint::FilePath)
        .value_parser(value_parser!(PathBuf))
        .help("Read the values from this file, in the syntax of `.env`, instead of the environment")
}

fn format() -> Arg {
    Arg::new("format")
        .long("format")
        .value_name("FORMAT")
        .value_parser(PossibleValuesParser::new(FORMATS.map(|(name, _)| name)))
        .default_value("text")
        .help("What to print the report as")
}

fn only(fields: Vec<String>) -> Arg {
    Arg::new("only")
        .long("only")
        .value_name("FIELD")
        .value_parser(FieldParser::of(fields))
        .hide_possible_values(true)
        .help("Check this field alone: its path, such as `mail.relay`")
}

fn deadline(manifest: &'static Manifest) -> Arg {
    Arg::new("deadline")
        .long("deadline")
        .value_name("SECONDS")
        .value_parser(seconds)
        .allow_negative_numbers(true)
        .help(format!(
            "How long attaching to everything may take [default: {}]. One connection takes no \
             longer than `connect_timeout` in its locator, which is 10 s unless it is there",
            manifest.deadline().as_secs()
        ))
}
