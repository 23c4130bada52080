//! A headless Chromium, driven over its own protocol through two pipes, without a port.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use backing_services_tests::process;
use serde_json::{Value, json};
use tempfile::TempDir;

/// The time limit for an answer. A cold start on a busy machine takes longest.
const PATIENCE: Duration = Duration::from_secs(60);

const FLAGS: [&str; 11] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
];

/// A browser with one page. It ends when this is dropped.
pub(crate) struct Browser {
    child: Child,
    to: File,
    from: Receiver<Value>,
    session: Option<String>,
    /// The events that arrived before an answer.
    events: Vec<Value>,
    last: u64,
    _folder: TempDir,
}

impl Browser {
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let pipe = |name: &str| {
            let path = folder.path().join(name);
            process::run(Command::new("mkfifo").arg(&path));
            path
        };
        let (to, from) = (pipe("to"), pipe("from"));
        let mut shell = Command::new("sh");
        // It reads from descriptor 3 and writes to descriptor 4.
        shell.args(["-c", r#"exec 3<"$1" 4>"$2"; shift 2; exec "$@""#, "sh"]).arg(&to).arg(&from);
        shell
            .arg(process::find("chromium"))
            .args(FLAGS)
            .arg(format!("--user-data-dir={}", folder.path().display()));
        let child = shell
            .arg("about:blank")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let child = child.env("HOME", folder.path()).spawn().expect("a shell");
        // Opening a pipe blocks until the shell opens the other end.
        let to = File::options().write(true).open(to).expect("a pipe");
        let from = BufReader::new(File::open(from).expect("a pipe"));
        let (sender, receiver) = mpsc::channel();
        std::thread::spawn(move || {
            for message in from.split(0).map_while(Result::ok) {
                if sender.send(serde_json::from_slice(&message).expect("JSON")).is_err() {
                    return;
                }
            }
        });
        let mut browser = Self {
            child,
            to,
            from: receiver,
            session: None,
            events: Vec::new(),
            last: 0,
            _folder: folder,
        };
        let target =
            browser.call("Target.createTarget", json!({"url": "about:blank"}))["targetId"].clone();
        let session =
            browser.call("Target.attachToTarget", json!({"targetId": target, "flatten": true}));
        browser.session = session["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page", "Network", "Runtime"] {
            browser.call(&format!("{domain}.enable"), json!({}));
        }
        browser
    }

    /// Sends a request, and waits for the answer.
    fn call(&mut self, method: &str, parameters: Value) -> Value {
        self.last += 1;
        let mut message = json!({"id": self.last, "method": method, "params": parameters});
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        self.to.write_all(format!("{message}\0").as_bytes()).expect("the browser listens");
        loop {
            let message = self
                .from
                .recv_timeout(PATIENCE)
                .unwrap_or_else(|error| panic!("{method}: {error}"));
            if message["id"] == self.last {
                assert!(message.get("error").is_none(), "{method}: {message}");
                return message["result"].clone();
            }
            self.events.push(message);
        }
    }

    /// Opens a file, and returns the URLs of all requests meanwhile.
    pub(crate) fn open(&mut self, page: &Path) -> Vec<String> {
        self.events.clear();
        self.call("Page.navigate", json!({"url": format!("file://{}", page.display())}));
        while !self.events.iter().any(|event| event["method"] == "Page.loadEventFired") {
            let event = self.from.recv_timeout(PATIENCE).expect("the page is loaded");
            self.events.push(event);
        }
        let requests =
            self.events.iter().filter(|event| event["method"] == "Network.requestWillBeSent");
        requests
            .map(|event| event["params"]["request"]["url"].as_str().expect("an address").to_owned())
            .collect()
    }

    /// A screen of this width in one of the two themes, or paper.
    pub(crate) fn show(&mut self, width: u32, theme: &str, media: &str) {
        // A phone obeys the viewport of the page.
        let metrics =
            json!({"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600});
        self.call("Emulation.setDeviceMetricsOverride", metrics);
        let features = json!([{"name": "prefers-color-scheme", "value": theme}]);
        self.call("Emulation.setEmulatedMedia", json!({"media": media, "features": features}));
    }

    /// The value of an expression in the page.
    pub(crate) fn evaluate(&mut self, expression: &str) -> Value {
        let result =
            self.call("Runtime.evaluate", json!({"expression": expression, "returnByValue": true}));
        assert!(result.get("exceptionDetails").is_none(), "{result:#}");
        result["result"]["value"].clone()
    }

    /// The whole page as PNG, in base64.
    pub(crate) fn picture(&mut self) -> String {
        let picture = self.call(
            "Page.captureScreenshot",
            json!({"format": "png", "captureBeyondViewport": true}),
        );
        picture["data"].as_str().expect("a picture").to_owned()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Its other processes end with it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
