//! A headless Chromium, driven by its own protocol: commands go out as JSON over a WebSocket, answers and events come back.

use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tungstenite::{Message, WebSocket};

/// Nothing a browser is asked for here takes so long.
const PATIENCE: Duration = Duration::from_secs(40);

pub struct Browser {
    process: Child,
    profile: PathBuf,
    socket: WebSocket<TcpStream>,
    last: u64,
    session: Option<String>,
    /// What came and was no answer.
    events: Vec<Value>,
}

impl Browser {
    /// Starts one with a profile of its own below `folder`.
    pub fn start(program: &str, folder: &Path) -> Self {
        let profile = folder.join(format!("profile-{}", std::process::id()));
        let mut command = Command::new(program);
        command
            .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
            .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
            .args(["--disable-dev-shm-usage", "--hide-scrollbars", "--remote-debugging-port=0"])
            .arg(format!("--user-data-dir={}", profile.display()))
            .arg("about:blank")
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut process = command.spawn().expect("the browser starts");
        let mut lines = BufReader::new(process.stderr.take().expect("its errors are read")).lines();
        let address = lines
            .by_ref()
            .map_while(Result::ok)
            .find_map(|line| Some(line.strip_prefix("DevTools listening on ")?.trim().to_owned()))
            .expect("the browser says where it listens");
        // What else it says is read, so that it does not wait for us.
        std::thread::spawn(move || lines.for_each(drop));
        let host = address.trim_start_matches("ws://").split('/').next().expect("an address").to_owned();
        let stream = TcpStream::connect(host).expect("the browser listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let (socket, _) = tungstenite::client(address.as_str(), stream).expect("the browser speaks");
        socket.get_ref().set_read_timeout(Some(Duration::from_millis(50))).expect("a timeout");
        let mut browser = Self { process, profile, socket, last: 0, session: None, events: Vec::new() };
        browser.new_page();
        browser
    }

    /// Goes on in a new page, without anything of the one before.
    pub fn new_page(&mut self) {
        self.session = None;
        let page = self.call("Target.createTarget", json!({ "url": "about:blank" }));
        let target = json!({ "targetId": page["targetId"], "flatten": true });
        let attached = self.call("Target.attachToTarget", target);
        self.session = attached["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page", "Runtime", "Log", "Network", "Audits", "Accessibility"] {
            self.call(&format!("{domain}.enable"), json!({}));
        }
        self.events.clear();
    }

    /// What the browser answers to a command.
    pub fn call(&mut self, method: &str, parameters: Value) -> Value {
        self.last += 1;
        let mut command = json!({ "id": self.last, "method": method, "params": parameters });
        if let Some(session) = &self.session {
            command["sessionId"] = json!(session);
        }
        self.socket.send(Message::text(command.to_string())).expect("the browser is there");
        let deadline = Instant::now() + PATIENCE;
        loop {
            assert!(Instant::now() < deadline, "no answer to {method} {parameters}");
            let Some(message) = self.next() else { continue };
            if message["id"] == self.last {
                assert!(message["error"].is_null(), "{method} {parameters}: {}", message["error"]);
                return message["result"].clone();
            }
            self.events.push(message);
        }
    }

    fn next(&mut self) -> Option<Value> {
        match self.socket.read() {
            Ok(Message::Text(text)) => Some(serde_json::from_str(&text).expect("JSON")),
            Ok(_) => None,
            Err(tungstenite::Error::Io(error)) if error.kind() == std::io::ErrorKind::WouldBlock => None,
            Err(error) => panic!("the browser is gone: {error}"),
        }
    }

    /// What came since the last call of this.
    pub fn take_events(&mut self) -> Vec<Value> {
        while let Some(event) = self.next() {
            self.events.push(event);
        }
        std::mem::take(&mut self.events)
    }

    /// Shows that address.
    pub fn open(&mut self, url: &str) {
        let shown = self.call("Page.navigate", json!({ "url": url }));
        assert!(shown["errorText"].is_null(), "{url}: {shown}");
        self.wait("document.readyState === 'complete'");
    }

    /// What a piece of JavaScript comes to.
    pub fn eval(&mut self, code: &str) -> Value {
        let parameters = json!({ "expression": code, "awaitPromise": true, "returnByValue": true });
        let answer = self.call("Runtime.evaluate", parameters);
        assert!(answer["exceptionDetails"].is_null(), "{code}: {}", answer["exceptionDetails"]);
        answer["result"]["value"].clone()
    }

    /// The same, as text.
    pub fn text(&mut self, code: &str) -> String {
        self.eval(code).as_str().map(str::to_owned).unwrap_or_default()
    }

    /// Waits until a piece of JavaScript comes to something true.
    pub fn wait(&mut self, code: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !is_true(&self.eval(code)) {
            if Instant::now() >= deadline {
                let page = self.text("document.body.innerText");
                panic!("in vain: {code}\n{page}");
            }
            std::thread::sleep(Duration::from_millis(30));
        }
    }

    /// Presses a key, as a person would.
    pub fn press(&mut self, key: &str) {
        let code = match key {
            "Enter" => 13,
            "Escape" => 27,
            "Tab" => 9,
            "ArrowLeft" => 37,
            "ArrowRight" => 39,
            "/" => 191,
            other => u32::from(other.chars().next().expect("a key").to_ascii_uppercase()),
        };
        let text = match key {
            "Enter" => "\r",
            key if key.chars().count() == 1 => key,
            _ => "",
        };
        let down = if text.is_empty() { "rawKeyDown" } else { "keyDown" };
        let event = |kind: &str, text: &str| json!({ "type": kind, "key": key, "text": text, "windowsVirtualKeyCode": code });
        self.call("Input.dispatchKeyEvent", event(down, text));
        self.call("Input.dispatchKeyEvent", event("keyUp", ""));
    }

    /// How large the window is.
    pub fn size(&mut self, width: u32, height: u32) {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.call("Emulation.setDeviceMetricsOverride", size);
    }

    /// What the system is said to prefer.
    pub fn prefer(&mut self, scheme: &str) {
        let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.call("Emulation.setEmulatedMedia", features);
    }

    /// Keeps a picture of all of the page, however long it is.
    pub fn picture(&mut self, file: &Path) {
        let shot =
            self.call("Page.captureScreenshot", json!({ "format": "png", "captureBeyondViewport": true }));
        let data = shot["data"].as_str().expect("a picture");
        let bytes = data_encoding::BASE64.decode(data.as_bytes()).expect("base64");
        std::fs::write(file, bytes).expect("the picture is written");
    }
}

fn is_true(value: &Value) -> bool {
    !matches!(value, Value::Null | Value::Bool(false)) && *value != json!(0) && *value != json!("")
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_dir_all(&self.profile);
    }
}
