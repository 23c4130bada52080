//! A fleet: fifty processes follow one etcd, and one put moves them from one PostgreSQL to another
//! while each runs queries.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "this is a test, and it measures"
)]

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use backing_services_tests::canary::{self, PASSWORD};
use backing_services_tests::etcd;
use backing_services_tests::pki::Authority;
use backing_services_tests::postgres::{Options, Postgres, USER};
use backing_services_tests::variables;

/// The number of processes.
const FLEET: usize = 50;

/// The time limit on a machine that is busy with other work. The time taken is printed.
const LONG: Duration = Duration::from_secs(120);

/// A line that a process printed, with its time.
struct Said {
    process: usize,
    line: String,
    at: Instant,
}

struct Fleet {
    processes: Vec<Child>,
    said: Receiver<Said>,
}

impl Drop for Fleet {
    fn drop(&mut self) {
        for process in &mut self.processes {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

impl Fleet {
    fn start(environment: &[(&str, String)]) -> Self {
        let (sender, said) = channel();
        let start = |process| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_fleet"));
            command.env_clear().envs(environment.iter().map(|(name, value)| (name, value)));
            let mut child = command
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .expect("a process");
            let outputs: [Box<dyn std::io::Read + Send>; 2] = [
                Box::new(child.stdout.take().expect("its output")),
                Box::new(child.stderr.take().expect("its errors")),
            ];
            for output in outputs {
                let sender = sender.clone();
                std::thread::spawn(move || {
                    for line in BufReader::new(output).lines().map_while(Result::ok) {
                        let _ = sender.send(Said { process, line, at: Instant::now() });
                    }
                });
            }
            child
        };
        Self { processes: (0..FLEET).map(start).collect(), said }
    }

    /// Waits until each process has printed a line with this beginning. Returns the time of the
    /// last one.
    fn wait_for(&self, wanted: &str) -> (Instant, Vec<String>) {
        let mut lines = vec![None; FLEET];
        let mut last = Instant::now();
        let end = Instant::now() + LONG;
        while lines.contains(&None) {
            let left = end.saturating_duration_since(Instant::now());
            let missing = lines.iter().filter(|line| line.is_none()).count();
            let said = self.said.recv_timeout(left);
            let Said { process, line, at } =
                said.unwrap_or_else(|_| panic!("{missing} processes did not say `{wanted}`"));
            canary::assert_silent("what a process says", &line);
            assert!(
                line.starts_with(wanted),
                "process {process} said `{line}`, and not `{wanted}`"
            );
            last = at;
            lines[process] = Some(line);
        }
        (last, lines.into_iter().flatten().collect())
    }
}

fn postgres(authority: Authority) -> Postgres {
    let mut options = Options::tls(authority.server());
    options.settings = "max_connections = 250\n".to_owned();
    Postgres::with(authority, &options)
}

#[test]
fn one_put_moves_fifty_processes() {
    let store = etcd::Etcd::start();
    let (one, other) =
        (postgres(Authority::new("one authority")), postgres(Authority::new("another authority")));
    let locator = |server: &Postgres| format!("{}?max_connections=2", server.locator());
    store.put("SHOP_ORDERS_URL", &locator(&one));
    store.put("SHOP_ORDERS_PASSWORD", PASSWORD);
    store.put("SHOP_ORDERS_CA", &format!("{}{}", one.authority.pem(), other.authority.pem()));

    let environment = variables::of(
        "SHOP_CONFIG",
        format!("https://{}@localhost:{}{}", etcd::USER, store.port, etcd::PREFIX),
        PASSWORD,
        store.authority.pem(),
    );
    let begin = Instant::now();
    let mut fleet = Fleet::start(&environment);
    let (attached, _) = fleet.wait_for(&format!("on {}", one.port));
    println!("{FLEET} processes have attached within {:?}", attached.duration_since(begin));

    let put = Instant::now();
    store.put("SHOP_ORDERS_URL", &locator(&other));
    let written = put.elapsed();
    let (moved, _) = fleet.wait_for(&format!("on {}", other.port));
    println!(
        "the last of {FLEET} processes has moved {:?} after the put began, which took {written:?}",
        moved.duration_since(put)
    );

    // No connection to the old server is left.
    let end = Instant::now() + LONG;
    while one.connections_of(USER) > 0 {
        assert!(Instant::now() < end, "{} connections are left", one.connections_of(USER));
        std::thread::sleep(Duration::from_millis(100));
    }
    for process in &mut fleet.processes {
        drop(process.stdin.take());
    }
    // Any other line that a process has printed, above all `failed`, ends the test here.
    let (_, counts) = fleet.wait_for("queries ");
    let counts =
        counts.iter().map(|line| line["queries ".len()..].parse::<u64>().expect("a count"));
    println!("{} queries, of which none failed", counts.sum::<u64>());
    assert!(fleet.processes.iter_mut().all(|process| process.wait().expect("its end").success()));
}
