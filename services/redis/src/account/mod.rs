//! The account and its privileges: read from the server, compared with `needs`, and written as
//! rules of an ACL.

use std::fmt::Write as _;

use backing_services_rules::rule::{SUPERUSER_ACCOUNT, WEAK_AUTHENTICATION};
use backing_services_runtime::grants::Grants;
use backing_services_runtime::needs::{Difference, Grantable, Names, Need, Needs};
use backing_services_runtime::posture::{MOST_PRIVILEGES, ServerPosture, printable};
use backing_services_runtime::service::random_name::random_name;
use backing_services_runtime::service::{Refusal, Target};
use backing_services_runtime::{Failure, Finding};
use redis::aio::MultiplexedConnection;
use redis::{Pipeline, Value};

use super::{DEFAULT_USER, database, refusal};
use crate::commands::{
    CATEGORIES, COMMANDS, Command, HARMLESS, OF_EVERY_KEY, OF_EVERY_RELEASE, ON_CHANNELS, ON_KEYS,
    ON_NOTHING, Object,
};

/// The privileges that an account can be granted, in the words of an ACL.
pub(super) const PRIVILEGES: &[Grantable] = &[
    Grantable::new(KEY, ON_KEYS, Names::Patterns),
    Grantable::new(CHANNEL, ON_CHANNELS, Names::Patterns),
    Grantable::new("", ON_NOTHING, Names::None),
];

const KEY: &str = "KEY";
const CHANNEL: &str = "CHANNEL";

/// The commands that attaching needs. Every account has `hello`; it is listed so that the rules
/// show it.
const ATTACHING: &[&str] = &["ping", "hello", "acl|whoami", "acl|dryrun"];

/// The commands that every account may use without a finding: those that attaching needs, including
/// `select` for a database other than 0.
const TOLERATED: &[&str] = &["ping", "select", "acl|whoami", "acl|dryrun"];

/// The limit of an administrator's powers that a finding names.
const MOST_NAMED: usize = 16;

/// The account, as the server reports it.
pub(super) struct Account {
    pub(super) user: String,
    pub(super) server: Option<ServerPosture>,
    pub(super) privileges: Vec<String>,
    pub(super) findings: Vec<Finding>,
    /// True if the server does not know a command that is part of every release.
    pub(super) misses_commands: bool,
}

/// One round trip, or two if the field has `needs` and the account may not use `ACL DRYRUN`.
pub(super) async fn probe(
    mut connection: MultiplexedConnection,
    target: &Target,
) -> Result<Account, Refusal> {
    let named = target.user().unwrap_or(DEFAULT_USER);
    let nobodys = format!("probe.{}", random_name()?);
    let contract = target.needs().map(|needs| Contract::new(needs, &nobodys));

    let mut questions = Pipeline::new();
    questions.cmd("ACL").arg("WHOAMI");
    questions.cmd("HELLO");
    match &contract {
        Some(contract) => contract.ask(&mut questions, named),
        None => ask_harmlessly(&mut questions, &nobodys),
    }
    let answers = send(&mut connection, &questions).await?;
    let [user, hello, answers @ ..] = answers.as_slice() else {
        return Err(Failure::protocol().into());
    };
    let user = who(user, named)?;
    let server = server(hello);
    let mut account = Account {
        user,
        server,
        privileges: Vec::new(),
        findings: Vec::new(),
        misses_commands: false,
    };

    if let Some(contract) = &contract {
        if let Some(verdicts) = contract.read(answers)? {
            account.misses_commands = contract.misses_commands(&verdicts);
            contract.compare(
                &verdicts,
                rules_of(named, contract.needs, selects(target)),
                &mut account,
            );
            return Ok(account);
        }
        let mut questions = Pipeline::new();
        ask_harmlessly(&mut questions, &nobodys);
        let answers = send(&mut connection, &questions).await?;
        account.findings.extend(powers(&answers, &account.user)?);
        account.misses_commands = misses_commands(&answers);
        if account.findings.is_empty() {
            let lacking = Difference::new(
                "acl|dryrun, without which it cannot ask what it may do",
                rules_of(named, contract.needs, selects(target)),
            );
            account.findings.extend(Finding::missing_privileges(&[lacking]));
        }
        return Ok(account);
    }
    account.findings.extend(powers(answers, &account.user)?);
    account.misses_commands = misses_commands(answers);
    Ok(account)
}

fn selects(target: &Target) -> bool {
    database(target).is_some_and(|database| database != 0)
}

async fn send(
    connection: &mut MultiplexedConnection,
    questions: &Pipeline,
) -> Result<Vec<Value>, Refusal> {
    let count = questions.cmd_iter().count();
    let answers = connection
        .send_packed_commands(questions, 0, count)
        .await
        .map_err(|error| refusal(&error))?;
    if answers.len() == count { Ok(answers) } else { Err(Failure::protocol().into()) }
}

fn who(answer: &Value, named: &str) -> Result<String, Refusal> {
    match text(answer) {
        Some(user) if user == named => Ok(user),
        Some(_) => Err(Finding::new(
            &WEAK_AUTHENTICATION,
            "the server logged this connection in as another account",
        )
        .with_help("check what answers on the port")
        .into()),
        None => {
            Err(Finding::new(&SUPERUSER_ACCOUNT, "the server does not tell the account who it is")
                .with_help(
                    "`ACL SETUSER <user> +acl|whoami +hello`: it has to be known who is logged in",
                )
                .into())
        }
    }
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::BulkString(bytes) => String::from_utf8(bytes.clone()).ok(),
        Value::SimpleString(text) => Some(text.clone()),
        Value::Okay => Some("OK".to_owned()),
        _ => None,
    }
}

/// `redis 7.0.15`, from the answer to `HELLO`; `None` if the account may not use it.
fn server(hello: &Value) -> Option<ServerPosture> {
    let Value::Map(fields) = hello else { return None };
    let field = |name: &str| {
        fields
            .iter()
            .find(|(key, _)| text(key).as_deref() == Some(name))
            .and_then(|(_, value)| text(value))
    };
    Some(ServerPosture::new(&field("server")?, &field("version")?))
}

/// Adds a command to a pipeline: its name, with a blank for each `|`, and its arguments.
fn ask(questions: &mut Pipeline, first: &[&str], name: &str, arguments: &str, sample: &str) {
    let mut words =
        first.iter().copied().chain(name.split('|')).chain(arguments.split_ascii_whitespace()).map(
            |word| match word {
                "%" | "&" => sample,
                word => word,
            },
        );
    let command = questions.cmd(words.next().unwrap_or_default());
    for word in words {
        command.arg(word);
    }
}

// --- Probing by harmless calls ---

fn ask_harmlessly(questions: &mut Pipeline, nobodys: &str) {
    for (name, arguments) in HARMLESS.iter().chain(OF_EVERY_KEY) {
        ask(questions, &[], name, arguments, nobodys);
    }
}

/// Evaluates the answers to the harmless calls.
fn powers(answers: &[Value], user: &str) -> Result<Option<Finding>, Refusal> {
    if answers.len() != HARMLESS.len() + OF_EVERY_KEY.len() {
        return Err(Failure::protocol().into());
    }
    let mut powers = Vec::new();
    let mut has_every_key = false;
    for (index, answer) in answers.iter().enumerate() {
        let may = match answer {
            // The server checks the command before the key: the account may use the command.
            Value::ServerError(error) if error.code() == "NOPERM" => {
                let details = error.details().unwrap_or_default();
                index < HARMLESS.len()
                    && (details.contains("access one of the keys")
                        || details.contains("access a key"))
            }
            // If a managed service removed the command, no account has it.
            Value::ServerError(error) => {
                !(error.code() == "ERR" && is_unknown(error.details().unwrap_or_default()))
            }
            _ => true,
        };
        match HARMLESS.get(index) {
            Some((name, _)) if may && !TOLERATED.contains(name) => powers.push((*name).to_owned()),
            Some(_) => {}
            None => has_every_key |= may,
        }
    }
    Ok(superuser(user, powers, has_every_key, None))
}

/// Returns true if a tried command is part of every release, and unknown to this server.
fn misses_commands(answers: &[Value]) -> bool {
    HARMLESS.iter().zip(answers).any(|((name, _), answer)| {
        let is_missed = matches!(answer, Value::ServerError(error)
            if error.code() == "ERR" && is_unknown(error.details().unwrap_or_default()));
        is_missed && OF_EVERY_RELEASE.contains(name)
    })
}

/// `unknown command`, and `Unknown subcommand` of Redis 6.
fn is_unknown(details: &str) -> bool {
    let begins = |words: &str| {
        details.get(..words.len()).is_some_and(|first| first.eq_ignore_ascii_case(words))
    };
    begins("unknown command") || begins("unknown subcommand")
}

fn superuser(
    user: &str,
    powers: Vec<String>,
    has_every_key: bool,
    statement: Option<String>,
) -> Option<Finding> {
    let message = if user == DEFAULT_USER {
        "the account is `default`, which every client without a user name gets".to_owned()
    } else if powers.is_empty() && !has_every_key {
        return None;
    } else {
        let mut named: Vec<_> =
            powers.iter().take(MOST_NAMED).map(|power| format!("`{power}`")).collect();
        if powers.len() > MOST_NAMED {
            named.push(format!("{} more", powers.len() - MOST_NAMED));
        }
        let mut message = "the account is an administrator's: it may ".to_owned();
        // Writing to a `String` does not fail.
        let _ = match (named.is_empty(), has_every_key) {
            (false, true) => write!(message, "use {}, and every key (`~*`)", named.join(", ")),
            (false, false) => write!(message, "use {}", named.join(", ")),
            (true, _) => write!(message, "use every key (`~*`)"),
        };
        message
    };
    let help = match statement {
        Some(statement) if user != DEFAULT_USER => statement,
        _ if user != DEFAULT_USER && powers.is_empty() => {
            "`ACL SETUSER <user> resetkeys ~<prefix>:*`, or where every key is meant, say so: \
             `needs = \"@read, @write ON KEY *\"`"
                .to_owned()
        }
        _ if user != DEFAULT_USER => {
            "`ACL SETUSER <user> -@admin -@dangerous`, or better: only what the application does, \
             and `needs` says so"
                .to_owned()
        }
        _ => "`ACL SETUSER <user> on ><password> ~<keys> +@read +@write -@dangerous +ping +hello \
              +acl|whoami`, and log in as that user"
            .to_owned(),
    };
    Some(Finding::new(&SUPERUSER_ACCOUNT, message).with_help(help))
}

// --- Probing by `ACL DRYRUN` ---

/// A field's needs, and a sample name for each of the patterns.
struct Contract<'a> {
    needs: &'a Needs,
    keys: Vec<Sample<'a>>,
    channels: Vec<Sample<'a>>,
}

/// A name that the pattern matches; without a pattern, a random name.
struct Sample<'a> {
    pattern: Option<&'a str>,
    name: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Verdict {
    /// The account may use this command with this name.
    May,
    /// The account may use this command, but not with this name.
    Elsewhere,
    No,
    /// The server has no such command.
    Unknown,
}

/// A question: a command, and a name if the command takes one.
struct Query<'a> {
    command: &'static Command,
    sample: Option<&'a Sample<'a>>,
}

impl<'a> Contract<'a> {
    fn new(needs: &'a Needs, nobodys: &str) -> Self {
        let samples = |kind: &str| {
            let mut samples = vec![Sample { pattern: None, name: nobodys.to_owned() }];
            for pattern in needs
                .iter()
                .filter(|need| need.kind == kind)
                .filter_map(|need| need.object.as_deref())
            {
                if samples.iter().all(|sample| sample.pattern != Some(pattern)) {
                    samples.push(Sample { pattern: Some(pattern), name: sample(pattern, nobodys) });
                }
            }
            samples
        };
        Self { needs, keys: samples(KEY), channels: samples(CHANNEL) }
    }

    /// All questions: every command with every name.
    fn asked(&self) -> impl Iterator<Item = Query<'_>> {
        COMMANDS.iter().flat_map(|command| {
            let samples = match command.object() {
                Object::Key => self.keys.as_slice(),
                Object::Channel => self.channels.as_slice(),
                Object::Nothing => &[],
            };
            let alone = samples.is_empty().then_some(Query { command, sample: None });
            alone
                .into_iter()
                .chain(samples.iter().map(move |sample| Query { command, sample: Some(sample) }))
        })
    }

    fn ask(&self, questions: &mut Pipeline, user: &str) {
        for Query { command, sample } in self.asked() {
            // To subscribe to a pattern, the account needs exactly that pattern.
            let name = match sample {
                Some(Sample { pattern: Some(pattern), .. }) if command.name == "psubscribe" => {
                    pattern
                }
                Some(sample) => sample.name.as_str(),
                None => "",
            };
            ask(questions, &["ACL", "DRYRUN", user], command.name, command.arguments, name);
        }
    }

    /// Parses the server's answers; `None` if the account may not use `ACL DRYRUN`, or the server
    /// does not have it.
    fn read(&self, answers: &[Value]) -> Result<Option<Vec<Verdict>>, Refusal> {
        if answers.len() != self.asked().count() {
            return Err(Failure::protocol().into());
        }
        let mut verdicts = Vec::with_capacity(answers.len());
        for answer in answers {
            verdicts.push(match answer {
                Value::ServerError(error) if error.code() == "NOPERM" => return Ok(None),
                Value::ServerError(error) if error.code() == "ERR" => {
                    match error.details().unwrap_or_default() {
                        details if is_unknown(details) => return Ok(None),
                        details
                            if details.starts_with("Command '")
                                || details.starts_with("wrong number of arguments for '") =>
                        {
                            Verdict::Unknown
                        }
                        _ => return Err(Failure::protocol().into()),
                    }
                }
                answer => match text(answer) {
                    Some(text) if text == "OK" => Verdict::May,
                    Some(text) if text.contains(" has no permissions to ") => {
                        if text.ends_with("' command") {
                            Verdict::No
                        } else if text.ends_with("' key") || text.ends_with("' channel") {
                            Verdict::Elsewhere
                        } else {
                            return Err(Failure::protocol().into());
                        }
                    }
                    _ => return Err(Failure::protocol().into()),
                },
            });
        }
        // A server that does not know a command that it has just executed, or that every release
        // has, does not answer `ACL DRYRUN`: an unknown command counts as a command that the
        // account may not use.
        let is_known =
            |name: &str| matches!(name, "acl|whoami" | "acl|dryrun" | "ping" | "get" | "set");
        if self
            .asked()
            .zip(&verdicts)
            .any(|(asked, verdict)| *verdict == Verdict::Unknown && is_known(asked.command.name))
        {
            return Err(Failure::protocol().into());
        }
        Ok(Some(verdicts))
    }

    /// Returns true if a command of every release is unknown to this server.
    fn misses_commands(&self, verdicts: &[Verdict]) -> bool {
        let is_missed = |(asked, verdict): (Query<'_>, &Verdict)| {
            *verdict == Verdict::Unknown && OF_EVERY_RELEASE.contains(&asked.command.name)
        };
        self.asked().zip(verdicts).any(is_missed)
    }

    /// Compares the verdicts with the needs, and adds the privileges and the findings to the
    /// account.
    fn compare(&self, verdicts: &[Verdict], statement: String, account: &mut Account) {
        let difference = |privilege: String| Difference::new(privilege, &statement);
        let asked: Vec<_> = self.asked().zip(verdicts.iter().copied()).collect();

        let lacking: Vec<_> =
            self.needs.iter().flat_map(|need| lacking(need, &asked)).map(difference).collect();
        let (powers, unneeded) = self.unneeded(&asked);
        let excess = unneeded.shown(&asked);

        let met = self
            .needs
            .iter()
            .map(ToString::to_string)
            .filter(|need| !lacking.iter().any(|lacking| lacking.privilege == *need));
        account.privileges = met
            .chain(powers.iter().cloned())
            .chain(excess.iter().cloned())
            .take(MOST_PRIVILEGES)
            .collect();
        account.findings.extend(Finding::missing_privileges(&lacking));
        match superuser(&account.user, powers, false, Some(format!("`{statement}`"))) {
            Some(finding) => account.findings.push(finding),
            None => {
                let excess: Vec<_> = excess.into_iter().map(difference).collect();
                account.findings.extend(Finding::excess_privileges(&excess));
            }
        }
    }

    /// The administrator's commands that the account may use without a need, and the other
    /// privileges that it has without a need.
    fn unneeded<'q>(&self, asked: &[(Query<'q>, Verdict)]) -> (Vec<String>, Unneeded<'q>) {
        let mut powers = Vec::new();
        let mut unneeded =
            Unneeded { commands: Vec::new(), patterns: Vec::new(), every: Vec::new() };
        for (Query { command, sample }, verdict) in asked {
            if matches!(verdict, Verdict::No | Verdict::Unknown)
                || TOLERATED.contains(&command.name)
            {
                continue;
            }
            if !self.needs.iter().any(|need| command.is_meant_by(need.privilege)) {
                if command.is_powerful() {
                    powers.push(command.name.to_owned());
                } else {
                    unneeded.commands.push(command);
                }
            } else if *verdict == Verdict::May
                && let Some(sample) = sample
                && !self.covers(command, sample)
            {
                unneeded.add(command, sample.pattern);
            }
        }
        powers.dedup();
        unneeded.commands.dedup_by_key(|command| command.name);
        unneeded.every.sort();
        unneeded.every.dedup();
        (powers, unneeded)
    }

    /// Returns true if the command is needed with this name. If it is needed without an object, it
    /// may be used with all names that are needed at all.
    fn covers(&self, command: &Command, sample: &Sample<'_>) -> bool {
        self.needs.iter().filter(|need| command.is_meant_by(need.privilege)).any(|need| match &need
            .object
        {
            Some(_) if need.kind != kind_of(command) => false,
            Some(pattern) => matches(pattern.as_bytes(), sample.name.as_bytes()),
            None => sample.pattern.is_some(),
        })
    }
}

/// The privileges that the account has without a need, except for an administrator's commands.
struct Unneeded<'a> {
    /// The commands that are not needed at all.
    commands: Vec<&'static Command>,
    /// The needed commands, for each pattern that they are not needed on.
    patterns: Vec<(&'a str, Vec<&'static Command>)>,
    /// Every key, every channel.
    every: Vec<String>,
}

impl<'a> Unneeded<'a> {
    /// Adds a command that is needed, but not on this pattern. Without a pattern, the account may
    /// use the command with every name.
    fn add(&mut self, command: &'static Command, pattern: Option<&'a str>) {
        match (pattern, command.object()) {
            (Some(pattern), _) => {
                match self.patterns.iter_mut().find(|(other, _)| *other == pattern) {
                    Some((_, commands)) => commands.push(command),
                    None => self.patterns.push((pattern, vec![command])),
                }
            }
            (None, Object::Key) => self.every.push("every key (`~*`)".to_owned()),
            (None, _) => self.every.push("every channel (`&*`)".to_owned()),
        }
    }

    /// The privileges, in the syntax of `needs`.
    fn shown(self, asked: &[(Query<'_>, Verdict)]) -> Vec<String> {
        let may = |command: &Command, pattern: Option<&str>| {
            asked.iter().any(|(asked, verdict)| {
                asked.command.name == command.name
                    && match pattern {
                        None => matches!(verdict, Verdict::May | Verdict::Elsewhere),
                        Some(_) => {
                            *verdict == Verdict::May
                                && asked.sample.is_some_and(|sample| sample.pattern == pattern)
                        }
                    }
            })
        };
        // A command that this server does not have does not count in a category.
        let is_here = |command: &Command| {
            asked.iter().any(|(asked, verdict)| {
                asked.command.name == command.name && *verdict != Verdict::Unknown
            })
        };
        let mut shown = folded(self.commands, |command| !is_here(command) || may(command, None));
        // Access to every key includes the keys of each pattern.
        if self.every.is_empty() {
            for (pattern, commands) in self.patterns {
                let kind = commands.first().map_or(KEY, |command| kind_of(command));
                let is_whole = |command: &Command| {
                    kind_of(command) != kind || !is_here(command) || may(command, Some(pattern))
                };
                let words = folded(commands, is_whole);
                shown.extend(words.iter().map(|word| format!("{word} ON {kind} {pattern}")));
            }
        }
        shown.extend(self.every);
        shown
    }
}

/// The names of the commands. A category replaces its commands if the account may use all of them.
fn folded(mut commands: Vec<&'static Command>, may: impl Fn(&Command) -> bool) -> Vec<String> {
    let mut words = Vec::new();
    for (category, _) in CATEGORIES {
        let is_meant = |command: &&Command| command.is_meant_by(category);
        if commands.iter().copied().filter(is_meant).count() > 1
            && COMMANDS.iter().filter(is_meant).all(&may)
        {
            words.push(category.to_owned());
            commands.retain(|command| !command.is_meant_by(category));
        }
    }
    words.extend(commands.iter().map(|command| command.name.to_owned()));
    words
}

/// The kind of object that a command accesses, as `needs` names it.
const fn kind_of(command: &Command) -> &'static str {
    match command.object() {
        Object::Key => KEY,
        Object::Channel => CHANNEL,
        Object::Nothing => "",
    }
}

/// The part of a need that the account lacks.
fn lacking(need: &Need, asked: &[(Query<'_>, Verdict)]) -> Vec<String> {
    let is_category = need.privilege.starts_with('@');
    let mut meant = 0_usize;
    let mut lacking = Vec::new();
    for (Query { command, sample }, verdict) in asked {
        let is_there = match (sample, &need.object) {
            (Some(sample), Some(object)) => {
                sample.pattern == Some(object) && need.kind == kind_of(command)
            }
            // A script without keys.
            (Some(sample), None) => sample.pattern.is_none(),
            (None, _) => true,
        };
        // A command that this server does not have is not missing from a category.
        if !is_there
            || !command.is_meant_by(need.privilege)
            || is_category && *verdict == Verdict::Unknown
        {
            continue;
        }
        meant += 1;
        let may =
            *verdict == Verdict::May || *verdict == Verdict::Elsewhere && need.object.is_none();
        if !may {
            lacking.push(match (&need.object, sample) {
                (Some(object), Some(_)) => format!("{} ON {} {object}", command.name, need.kind),
                _ => command.name.to_owned(),
            });
        }
    }
    if lacking.len() == meant && meant > 0 { vec![need.to_string()] } else { lacking }
}

/// A name that the pattern matches. It contains the random name if the pattern has a `*`.
fn sample(pattern: &str, nobodys: &str) -> String {
    let mut sample = String::new();
    let mut characters = pattern.chars();
    while let Some(c) = characters.next() {
        match c {
            '*' => sample.push_str(nobodys),
            '?' => sample.push('x'),
            '\\' => sample.extend(characters.next()),
            '[' => {
                let class: Vec<_> = characters.by_ref().take_while(|c| *c != ']').collect();
                match class.as_slice() {
                    // A character outside of the class. A class that excludes all of them is not a
                    // practical pattern.
                    ['^', not @ ..] => sample.extend(('!'..='~').find(|c| !is_in(*c, not))),
                    ['\\', first, ..] | [first, ..] => sample.push(*first),
                    [] => {}
                }
            }
            c => sample.push(c),
        }
    }
    sample
}

fn is_in(c: char, class: &[char]) -> bool {
    class.contains(&c)
        || class.windows(3).any(|range| range[1] == '-' && (range[0]..=range[2]).contains(&c))
}

/// Returns true if a pattern of an ACL matches a name, as in the server's `stringmatchlen`. Without
/// recursion: it backtracks to the last star only.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n) = (0, 0);
    let mut again = None;
    while n < name.len() {
        let (next, is_match) = match pattern.get(p) {
            Some(b'*') => {
                again = Some((p + 1, n));
                p += 1;
                continue;
            }
            Some(b'?') => (p + 1, true),
            Some(b'\\') => (p + 2, pattern.get(p + 1) == Some(&name[n])),
            Some(b'[') => {
                let end = pattern[p..]
                    .iter()
                    .position(|byte| *byte == b']')
                    .map_or(pattern.len(), |end| p + end);
                let class: Vec<_> =
                    pattern[p + 1..end].iter().map(|byte| char::from(*byte)).collect();
                let is_match = match class.as_slice() {
                    ['^', not @ ..] => !is_in(char::from(name[n]), not),
                    class => is_in(char::from(name[n]), class),
                };
                (end + 1, is_match)
            }
            Some(byte) => (p + 1, *byte == name[n]),
            None => (p, false),
        };
        if is_match {
            (p, n) = (next, n + 1);
        } else if let Some((star, from)) = again {
            again = Some((star, from + 1));
            (p, n) = (star, from + 1);
        } else {
            return false;
        }
    }
    pattern.get(p..).is_none_or(|rest| rest.iter().all(|byte| *byte == b'*'))
}

// --- ACL rules ---

/// The statements that create an account. The `ECHO` is a line for `redis-cli`, which prints that
/// the account needs a password.
pub(super) fn grants(grants: &Grants) -> String {
    let user = quoted(grants.account());
    let selects = grants.database().is_some_and(|database| database != "0");
    let statement = rules_of(grants.account(), grants.needs(), selects);
    let how = format!(
        "no client can log in as {} before it has a password: ACL SETUSER {user} ><password>",
        grants.account()
    );
    format!("ECHO {}\n{statement}\n", quoted(&how))
}

/// The statement that gives an account exactly these rules, whatever it had before. It keeps the
/// password.
fn rules_of(user: &str, needs: &Needs, selects: bool) -> String {
    format!("ACL SETUSER {}", words_of(user, needs, selects))
}

/// The account's name, and its rules.
fn words_of(user: &str, needs: &Needs, selects: bool) -> String {
    let mut groups: Vec<Group<'_>> = Vec::new();
    for need in needs.iter() {
        let Some(object) = need.object.as_deref() else { continue };
        let found =
            groups.iter_mut().find(|group| group.kind == need.kind && group.object == object);
        match found {
            Some(group) => group.privileges.push(need.privilege),
            None => groups.push(Group {
                kind: need.kind,
                object,
                privileges: vec![need.privilege],
                patterns: Vec::new(),
            }),
        }
    }
    // Patterns with the same privileges become one rule.
    let mut selectors: Vec<Group<'_>> = Vec::new();
    for group in groups {
        let pattern = format!("{}{}", if group.kind == KEY { '~' } else { '&' }, group.object);
        let is_same = |other: &&mut Group<'_>| {
            other.kind == group.kind
                && other.privileges.len() == group.privileges.len()
                && other.privileges.iter().all(|privilege| group.privileges.contains(privilege))
        };
        match selectors.iter_mut().find(is_same) {
            Some(selector) => selector.patterns.push(pattern),
            None => selectors.push(Group { patterns: vec![pattern], ..group }),
        }
    }
    // Commands on keys take no channels, and the reverse. So one selector of each kind can be the
    // user's own rules.
    let mut own = Group { kind: "", object: "", privileges: Vec::new(), patterns: Vec::new() };
    own.privileges
        .extend(needs.iter().filter(|need| need.object.is_none()).map(|need| need.privilege));
    for kind in [KEY, CHANNEL] {
        if let Some(at) = selectors.iter().position(|selector| selector.kind == kind) {
            let selector = selectors.remove(at);
            own.privileges.extend(selector.privileges);
            own.patterns.extend(selector.patterns);
        }
    }
    let mut words = vec![user.to_owned()];
    words
        .extend(["on", "clearselectors", "resetkeys", "resetchannels", "-@all"].map(str::to_owned));
    words.extend(own.rules());
    words.extend(ATTACHING.iter().map(|command| format!("+{command}")));
    words.extend(selects.then(|| "+select".to_owned()));
    words.extend(selectors.iter().map(|selector| format!("({})", selector.rules().join(" "))));
    words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ")
}

/// The privileges on some patterns.
struct Group<'a> {
    kind: &'static str,
    object: &'a str,
    privileges: Vec<&'static str>,
    patterns: Vec<String>,
}

impl Group<'_> {
    fn rules(&self) -> Vec<String> {
        let (categories, commands): (Vec<&str>, Vec<&str>) =
            self.privileges.iter().copied().partition(|word| word.starts_with('@'));
        let mut rules = self.patterns.clone();
        rules.extend(categories.iter().map(|category| format!("+{category}")));
        if !categories.is_empty() {
            rules.extend(["-@admin", "-@dangerous"].map(str::to_owned));
        }
        rules.extend(commands.iter().map(|command| format!("+{command}")));
        rules
    }
}

/// A word, quoted for `redis-cli`.
fn quoted(word: &str) -> String {
    let is_plain = |byte: u8| {
        byte.is_ascii_alphanumeric()
            || matches!(
                byte,
                b'@' | b'+' | b'-' | b'~' | b'&' | b'*' | b'|' | b':' | b'.' | b'_' | b'/'
            )
    };
    if !word.is_empty() && word.bytes().all(is_plain) {
        return word.to_owned();
    }
    let mut quoted = "\"".to_owned();
    for c in printable_whole(word).chars() {
        if matches!(c, '"' | '\\') {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted.push('"');
    quoted
}

/// Escapes characters that a terminal interprets. The quoted words are ours, the developer's or the
/// locator's, and contain none.
fn printable_whole(word: &str) -> String {
    let mut whole = String::new();
    for c in word.chars() {
        whole.push_str(&printable(c.encode_utf8(&mut [0; 4])));
    }
    whole
}

#[cfg(test)]
mod tests;
