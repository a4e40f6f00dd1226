//! A serving process: it takes in changes, keeps what it has when they are wrong, and drains when it is told to.

#![allow(clippy::unwrap_used, reason = "a test ends at what it does not expect")]

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

/// How long anything may take that a test waits for.
const PATIENCE: Duration = Duration::from_secs(20);

/// A process that is ended with the test, and what it says on standard error.
struct Serving {
    process: Child,
    address: SocketAddr,
    said: Receiver<String>,
}

impl Serving {
    fn start(folder: &Path, reload: &str) -> Self {
        let process_file = format!(
            "data_directory: data\nlisteners: [{{address: \"127.0.0.1:0\", protocol: http}}]\nthreads: 1\nreload: {{watch: {reload}}}\nlimits: {{drain_timeout: 10s}}\nlogs: {{access: {{output: {{file: access.log}}}}, events: {{output: off}}}}\n"
        );
        fs::write(folder.join("veloflux.yaml"), process_file).unwrap();
        let mut process = Command::new(env!("CARGO_BIN_EXE_veloflux"))
            .arg("serve")
            .current_dir(folder)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let (say, said) = channel();
        thread::spawn(move || lines.map_while(Result::ok).try_for_each(|line| say.send(line)));
        let mut serving = Self { process, address: SocketAddr::from(([127, 0, 0, 1], 0)), said };
        let started = serving.hear("\"serving\"");
        let address = started.split("127.0.0.1:").nth(1).unwrap();
        let port: String = address.chars().take_while(char::is_ascii_digit).collect();
        serving.address.set_port(port.parse().unwrap());
        serving
    }

    /// Waits for a line with `text`.
    fn hear(&self, text: &str) -> String {
        let until = Instant::now() + PATIENCE;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let line = self.said.recv_timeout(left).unwrap_or_else(|_| panic!("it never said {text}"));
            if line.contains(text) {
                return line;
            }
        }
    }

    fn signal(&self, name: &str) {
        let status =
            Command::new("kill").args([&format!("-{name}"), &self.process.id().to_string()]).status();
        assert!(status.unwrap().success());
    }

    fn ask(&self) -> String {
        ask(self.address, "/")
    }

    fn ends_with(&mut self) -> Option<i32> {
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            if let Some(status) = self.process.try_wait().unwrap() {
                return status.code();
            }
            thread::sleep(Duration::from_millis(20));
        }
        panic!("it did not end");
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The whole response to a request on a connection of its own.
fn ask(address: SocketAddr, path: &str) -> String {
    ask_of(address, "a.localhost", path)
}

fn ask_of(address: SocketAddr, host: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    response
}

/// A state whose one route answers with `body`.
fn answering(body: &str) -> String {
    format!(
        "tenants:\n  - name: acme\n    firewall: {{mode: off}}\n    domains: [{{host: a.localhost}}]\n    routes: [{{name: all, respond: {{body: {body}}}}}]\n"
    )
}

/// A state whose one route forwards to `backend`.
fn forwarding(backend: SocketAddr) -> String {
    format!(
        "tenants:\n  - name: acme\n    firewall: {{mode: off}}\n    domains: [{{host: a.localhost}}]\n    pools: [{{name: web, backends: [{{address: \"{backend}\"}}]}}]\n    routes: [{{name: all, forward: {{pool: web}}}}]\n"
    )
}

#[test]
fn a_hangup_takes_in_a_good_state_and_keeps_the_old_one_over_a_bad_one() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state.yaml");
    fs::write(&state, answering("one")).unwrap();
    let mut serving = Serving::start(folder.path(), "false");
    assert!(serving.ask().ends_with("\r\n\r\none"));

    fs::write(&state, answering("two")).unwrap();
    assert!(serving.ask().ends_with("\r\n\r\none"));
    serving.signal("HUP");
    serving.hear("\"reloaded\"");
    assert!(serving.ask().ends_with("\r\n\r\ntwo"));

    fs::write(&state, answering("three").replace("respond", "repsond")).unwrap();
    serving.signal("HUP");
    let refused = serving.hear("the old one stays in force");
    assert!(refused.contains("state.yaml:5:") && refused.contains("did you mean `respond`?"), "{refused}");
    assert!(serving.ask().ends_with("\r\n\r\ntwo"));

    serving.signal("TERM");
    assert_eq!(serving.ends_with(), Some(0));
}

#[test]
fn a_changed_file_is_taken_in_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state.yaml");
    fs::write(&state, answering("one")).unwrap();
    let serving = Serving::start(folder.path(), "true");
    fs::write(&state, "tenants: [").unwrap();
    serving.hear("the old one stays in force");
    fs::write(&state, answering("two")).unwrap();
    serving.hear("\"reloaded\"");
    assert!(serving.ask().ends_with("\r\n\r\ntwo"));
}

#[test]
fn a_renewed_certificate_is_taken_in_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let renew = || {
        let made = Command::new(env!("CARGO_BIN_EXE_veloflux"))
            .args(["dev-ca", "--dir", "certs", "--host", "a.localhost"])
            .current_dir(folder.path())
            .output();
        assert!(made.unwrap().status.success());
    };
    renew();
    let certificate =
        "certificates: [{name: a, cert_file: certs/a.localhost.pem, key_file: certs/a.localhost.key}]";
    let state = answering("one").replace("    routes:", &format!("    {certificate}\n    routes:"));
    fs::write(folder.path().join("state.yaml"), state).unwrap();
    let serving = Serving::start(folder.path(), "true");
    renew();
    serving.hear("\"reloaded\"");
}

#[test]
fn a_log_that_was_moved_away_is_opened_anew() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("state.yaml"), answering("one")).unwrap();
    let mut serving = Serving::start(folder.path(), "false");
    let (log, old) = (folder.path().join("access.log"), folder.path().join("access.log.1"));
    serving.ask();
    fs::rename(&log, &old).unwrap();
    serving.signal("USR1");
    serving.hear("opened anew");
    serving.ask();
    serving.signal("TERM");
    assert_eq!(serving.ends_with(), Some(0));
    // Every line is written by the end of the drain, the first one to the file that was open then.
    for file in [old, log] {
        assert_eq!(fs::read_to_string(file).unwrap().lines().count(), 1);
    }
}

/// A backend that says when a request has come and answers when it is told to.
fn slow_backend() -> (SocketAddr, Receiver<()>, std::sync::mpsc::Sender<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (came, has_come) = channel();
    let (answer, may_answer) = channel();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut head = [0; 4096];
        let _ = stream.read(&mut head).unwrap();
        came.send(()).unwrap();
        if may_answer.recv().is_ok() {
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone").unwrap();
        }
    });
    (address, has_come, answer)
}

#[test]
fn a_request_in_flight_finishes_before_the_process_ends() {
    let folder = tempfile::tempdir().unwrap();
    let (backend, has_come, answer) = slow_backend();
    fs::write(folder.path().join("state.yaml"), forwarding(backend)).unwrap();
    let mut serving = Serving::start(folder.path(), "false");
    let address = serving.address;
    let response = thread::scope(|scope| {
        let asked = scope.spawn(|| ask(address, "/"));
        has_come.recv_timeout(PATIENCE).unwrap();
        serving.signal("TERM");
        serving.hear("draining");
        answer.send(()).unwrap();
        asked.join().unwrap()
    });
    assert!(response.ends_with("\r\n\r\ndone"), "{response}");
    serving.hear("drained: every request finished");
    assert_eq!(serving.ends_with(), Some(0));
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let (backend, has_come, answer) = slow_backend();
    fs::write(folder.path().join("state.yaml"), forwarding(backend)).unwrap();
    let mut serving = Serving::start(folder.path(), "false");
    let mut client = TcpStream::connect(serving.address).unwrap();
    client.write_all(b"GET / HTTP/1.1\r\nHost: a.localhost\r\n\r\n").unwrap();
    has_come.recv_timeout(PATIENCE).unwrap();
    serving.signal("TERM");
    serving.hear("draining");
    serving.signal("INT");
    assert_eq!(serving.ends_with(), Some(1));
    drop(answer);
}

#[test]
fn a_taken_address_is_refused_with_a_reason() {
    let folder = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let process_file =
        format!("data_directory: data\nlisteners: [{{address: \"{address}\", protocol: http}}]\n");
    fs::write(folder.path().join("veloflux.yaml"), process_file).unwrap();
    fs::write(folder.path().join("state.yaml"), answering("one")).unwrap();
    let ended = Command::new(env!("CARGO_BIN_EXE_veloflux"))
        .arg("serve")
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert_eq!(ended.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&ended.stderr).contains(&format!("cannot listen on {address}")));
}

/// A rule set in the layout of the CRS, with one rule.
fn release(folder: &Path) -> String {
    let root = folder.join("crs");
    fs::create_dir_all(root.join("rules")).unwrap();
    fs::write(root.join("crs-setup.conf"), "SecComponentSignature \"OWASP_CRS/9.1.0\"\n").unwrap();
    fs::write(root.join("rules/a.conf"), "SecRule ARGS \"@contains evil\" \"id:9100,phase:2,deny\"\n")
        .unwrap();
    root.to_str().unwrap().to_owned()
}

/// The first of six ports in a row that nobody listens on, below those that the system gives to connections.
fn six_free_ports() -> u16 {
    let first = 15_000 + (std::process::id() % 2_500) as u16 * 6;
    let free = |port: u16| (port..port + 6).all(|port| TcpListener::bind(("127.0.0.1", port)).is_ok());
    (first..32_000).step_by(6).find(|port| free(*port)).unwrap()
}

#[test]
fn the_demo_makes_what_it_needs_and_says_what_to_try() {
    let folder = tempfile::tempdir().unwrap();
    let crs = release(folder.path());
    let port = six_free_ports();
    let start = |crs: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_veloflux"))
            .args(["demo", "--dir", "run", "--port", &port.to_string()])
            .args(crs)
            .current_dir(folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap()
    };
    let without = start(&[]).wait_with_output().unwrap();
    assert_eq!(without.status.code(), Some(1));

    // The second start finds everything there.
    for crs in [&["--crs", &crs][..], &[]] {
        let mut demo = start(crs);
        let mut lines = BufReader::new(demo.stdout.take().unwrap()).lines().map_while(Result::ok);
        let commands: Vec<String> = lines
            .by_ref()
            .take_while(|line| !line.starts_with("Ctrl-C"))
            .filter(|line| line.starts_with("curl --cacert run/certs/ca.pem --resolve "))
            .collect();
        assert_eq!(commands.len(), 3);
        let ready = ask(SocketAddr::from(([127, 0, 0, 1], port + 1)), "/readyz");
        assert!(ready.starts_with("HTTP/1.1 200"), "{ready}");
        assert!(ask(SocketAddr::from(([127, 0, 0, 1], port + 3)), "/").contains("Hello from acme-2"));
        let redirect = SocketAddr::from(([127, 0, 0, 1], port + 5));
        let redirected = ask_of(redirect, "acme.localhost", "/a?b=c");
        let location = format!("https://acme.localhost:{port}/a?b=c\r\n");
        assert!(redirected.starts_with("HTTP/1.1 308") && redirected.contains(&location), "{redirected}");
        let told = Command::new("kill").args(["-INT", &demo.id().to_string()]).status().unwrap();
        assert!(told.success() && demo.wait().unwrap().success());
    }
}
