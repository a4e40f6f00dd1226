//! Where entries go: a buffer per core, one writing thread, and standard output or a file.
//!
//! [`Lines::write`] serialises straight into its core's buffer: no allocation, no channel, no wake-up. Every
//! [`WRITE_INTERVAL`] the writing thread takes each buffer's content away whole, leaving an empty one of the same
//! size, and writes it with one system call. The two meet only for that exchange of pointers, so the lock between
//! them is as good as always free. A buffer is bounded ([`MAX_BUFFERED_BYTES`]): over it, lines are dropped and
//! counted.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;

use super::{AccessEntry, ClientCertificateEvent, CspEvent, FirewallEvent, LimitEvent, OriginEvent};

/// Bytes that may wait in one core's buffer.
const MAX_BUFFERED_BYTES: usize = 8 * 1024 * 1024;

/// A buffer that has grown beyond this is not kept, in bytes.
const MAX_KEPT_BYTES: usize = 1024 * 1024;

/// How long a line may wait before it is written.
const WRITE_INTERVAL: Duration = Duration::from_millis(20);

/// Orders that may wait for the writing thread.
const MAX_ORDERS: usize = 16;

/// Where lines are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// Nowhere.
    Off,
    /// Standard output.
    Stdout,
    /// A file, appended to; created readable for owner and group.
    File(PathBuf),
}

/// What may be logged: only entries whose outside values are masked.
pub trait Entry: Serialize + sealed::Sealed {}

impl Entry for AccessEntry<'_> {}
impl Entry for FirewallEvent<'_> {}
impl Entry for OriginEvent<'_> {}
impl Entry for ClientCertificateEvent<'_> {}
impl Entry for LimitEvent<'_> {}
impl Entry for CspEvent<'_> {}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::AccessEntry<'_> {}
    impl Sealed for super::FirewallEvent<'_> {}
    impl Sealed for super::OriginEvent<'_> {}
    impl Sealed for super::ClientCertificateEvent<'_> {}
    impl Sealed for super::LimitEvent<'_> {}
    impl Sealed for super::CspEvent<'_> {}
}

/// A log; off by default. Clones are the same log; its thread ends when the last of them and of their [`Lines`] is
/// dropped.
#[derive(Debug, Clone, Default)]
pub struct Sink {
    /// `None`: off.
    open: Option<Open>,
}

#[derive(Debug, Clone)]
struct Open {
    orders: SyncSender<Order>,
    shared: Arc<Shared>,
}

/// What the writing thread and all others share.
#[derive(Debug, Default)]
struct Shared {
    buffers: Mutex<Vec<Arc<Buffer>>>,
    dropped: AtomicU64,
}

/// The lines of one core that wait to be written.
type Buffer = Mutex<Waiting>;

#[derive(Debug, Default)]
struct Waiting {
    bytes: Vec<u8>,
    lines: u64,
}

#[derive(Debug)]
enum Order {
    Reopen,
    /// Answered when all lines before it have been written.
    Flush(SyncSender<()>),
}

impl Sink {
    /// Opens `target` and starts the writing thread. Fails if the file cannot be opened.
    pub fn start(target: Target) -> io::Result<Self> {
        let Some(output) = Output::open(target)? else { return Ok(Self::default()) };
        let shared = Arc::<Shared>::default();
        let (orders, taken) = sync_channel(MAX_ORDERS);
        let mut writer = Writer { orders: taken, output, shared: shared.clone(), spare: Vec::new() };
        std::thread::Builder::new().name("log-writer".into()).spawn(move || writer.run())?;
        Ok(Self { open: Some(Open { orders, shared }) })
    }

    /// A way into the log for one thread.
    pub fn lines(&self) -> Lines {
        let open = self.open.clone().map(|open| {
            let buffer = Arc::<Buffer>::default();
            lock(&open.shared.buffers).push(buffer.clone());
            (open, buffer)
        });
        Lines { open }
    }

    /// Lines dropped so far, because a buffer was full or the target could not be written.
    pub fn dropped(&self) -> u64 {
        self.open.as_ref().map_or(0, |open| open.shared.dropped.load(Relaxed))
    }

    /// Has the file opened anew after rotation; lines written until that is done go to the old one. `false`: too many such orders wait already, try again.
    pub fn reopen(&self) -> bool {
        self.open.as_ref().is_none_or(|open| open.orders.try_send(Order::Reopen).is_ok())
    }

    /// Waits until everything written so far is out, `timeout` at most; for the end of a drain. Blocks the thread.
    /// `false`: not all was written in time.
    pub fn flush(&self, timeout: Duration) -> bool {
        let Some(open) = &self.open else { return true };
        let (done, wait) = sync_channel(1);
        open.orders.try_send(Order::Flush(done)).is_ok() && wait.recv_timeout(timeout).is_ok()
    }
}

/// One thread's way into a log.
#[derive(Debug)]
pub struct Lines {
    open: Option<(Open, Arc<Buffer>)>,
}

impl Lines {
    /// Whether entries go anywhere: if not, making them can be spared.
    pub fn is_on(&self) -> bool {
        self.open.is_some()
    }

    /// Queues an entry. What does not fit is counted in [`Sink::dropped`].
    pub fn write(&self, entry: &impl Entry) {
        let Some((open, buffer)) = &self.open else { return };
        let mut waiting = lock(buffer);
        let before = waiting.bytes.len();
        if before >= MAX_BUFFERED_BYTES || serde_json::to_writer(&mut waiting.bytes, entry).is_err() {
            waiting.bytes.truncate(before);
            open.shared.dropped.fetch_add(1, Relaxed);
            return;
        }
        waiting.bytes.push(b'\n');
        waiting.lines += 1;
    }
}

/// A panic while a lock is held leaves whole lines or a cut one at worst; the log goes on.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

enum Output {
    Stdout,
    File(PathBuf, File),
}

impl Output {
    fn open(target: Target) -> io::Result<Option<Self>> {
        Ok(match target {
            Target::Off => None,
            Target::Stdout => Some(Self::Stdout),
            Target::File(path) => {
                let file = open_log(&path)?;
                Some(Self::File(path, file))
            }
        })
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Stdout => {
                let mut stdout = io::stdout().lock();
                stdout.write_all(bytes)?;
                stdout.flush()
            }
            Self::File(_, file) => file.write_all(bytes),
        }
    }

    fn reopen(&mut self) -> io::Result<()> {
        if let Self::File(path, file) = self {
            *file = open_log(path)?;
        }
        Ok(())
    }
}

fn open_log(path: &std::path::Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o640).open(path)
}

struct Writer {
    orders: Receiver<Order>,
    output: Output,
    shared: Arc<Shared>,
    /// Empty memory that is exchanged for a core's full one.
    spare: Vec<u8>,
}

impl Writer {
    fn run(&mut self) {
        loop {
            match self.orders.recv_timeout(WRITE_INTERVAL) {
                Err(RecvTimeoutError::Timeout) => self.write_all(),
                Ok(Order::Reopen) => {
                    self.write_all();
                    if let Err(error) = self.output.reopen() {
                        tracing::error!(%error, "log file not opened anew: the old one stays in use");
                    }
                }
                Ok(Order::Flush(done)) => {
                    self.write_all();
                    // Whoever asked may have stopped waiting.
                    let _ = done.try_send(());
                }
                Err(RecvTimeoutError::Disconnected) => return self.write_all(),
            }
        }
    }

    fn write_all(&mut self) {
        let buffers = {
            let mut buffers = lock(&self.shared.buffers);
            // One whose thread is gone, and which is empty, has nothing more to say.
            buffers.retain(|buffer| Arc::strong_count(buffer) > 1 || lock(buffer).lines > 0);
            buffers.clone()
        };
        for buffer in buffers {
            let lines = {
                let mut waiting = lock(&buffer);
                std::mem::swap(&mut waiting.bytes, &mut self.spare);
                std::mem::take(&mut waiting.lines)
            };
            if !self.spare.is_empty()
                && let Err(error) = self.output.write(&self.spare)
            {
                tracing::error!(%error, lines, "log lines lost");
                self.shared.dropped.fetch_add(lines, Relaxed);
            }
            self.spare.clear();
            self.spare.shrink_to(MAX_KEPT_BYTES);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::*;
    use super::*;

    const WAIT: Duration = Duration::from_secs(5);

    fn entry<'a>(masker: &Masker, path: &'a str) -> AccessEntry<'a> {
        AccessEntry {
            time: Timestamp::from_unix_us(1_800_000_000_123_456),
            request_id: RequestId::new(),
            tenant: "acme",
            route: Some("shop"),
            client: [203, 0, 113, 9].into(),
            country: None,
            asn: None,
            host: masker.text("shop.acme.example", 255),
            method: masker.text("GET", 32),
            path: masker.path(path, 1024),
            query: Some(masker.query("page=2&sort=price&token=abcdef", 1024)),
            protocol: "HTTP/1.1",
            status: 200,
            bytes_in: 0,
            bytes_out: 16_384,
            duration_us: 1_234,
            upstream: Some("10.0.0.1:8080"),
            upstream_time_us: Some(1_100),
            retries: 0,
            tls: Some(TlsSession {
                version: "1.3",
                sni: Some(masker.text("shop.acme.example", 255)),
                client_sha256: None,
                alpn: Some("http/1.1"),
            }),
            user_agent: Some(
                masker.text("Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0", 256),
            ),
            mode: None,
            origin: None,
            waf: Some(WafSummary {
                verdict: WafVerdict::Passed,
                score: 0,
                cause: None,
                units: 0,
                rules: &[],
            }),
            limits: &[],
            termination: Termination::Complete,
        }
    }

    fn masker() -> Masker {
        Masker::new([]).unwrap()
    }

    fn lines(path: &std::path::Path) -> Vec<serde_json::Value> {
        let text = std::fs::read_to_string(path).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn an_access_entry_is_one_masked_json_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("access.log");
        let log = Sink::start(Target::File(path.clone())).unwrap();
        log.lines().write(&entry(&masker(), "/a\nb/4111111111111111"));
        assert!(log.flush(WAIT));
        let lines = lines(&path);
        assert_eq!(lines.len(), 1);
        let line = &lines[0];
        assert_eq!(line["log"], "access");
        assert_eq!(line["time"], "2027-01-15T08:00:00.123456Z");
        assert_eq!(line["path"], "/a\nb/4111***(16)");
        assert_eq!(line["query"], "page=2&sort=price&token=***(6)");
        assert_eq!(line["client"], "203.0.113.9");
        assert_eq!(line["waf"]["verdict"], "passed");
        assert_eq!(line["tls"]["alpn"], "http/1.1");
        assert_eq!(line["termination"], "complete");
    }

    #[test]
    fn a_firewall_event_names_its_rules() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("events.log");
        let log = Sink::start(Target::File(path.clone())).unwrap();
        let masker = masker();
        let tags: [Arc<str>; 1] = ["attack-sqli".into()];
        let rules = [RuleMatch {
            id: 942_100,
            message: masker.text("SQL Injection Attack Detected via libinjection", 256),
            tags: &tags,
            severity: Some(2),
            phase: 2,
            variable: masker.text("ARGS:id", 128),
            value: masker.matched("ARGS:id", b"1' OR '1'='1' --"),
        }];
        log.lines().write(&FirewallEvent {
            time: Timestamp::now(),
            request_id: RequestId::new(),
            tenant: "acme",
            route: "shop",
            action: EventAction::Blocked,
            cause: None,
            client: [203, 0, 113, 9].into(),
            method: masker.text("GET", 32),
            host: masker.text("shop.acme.example", 255),
            path: masker.path("/search", 1024),
            inbound_score: 5,
            outbound_score: 0,
            inbound_threshold: 5,
            outbound_threshold: 4,
            rules: &rules,
        });
        assert!(log.flush(WAIT));
        let line = &lines(&path)[0];
        assert_eq!((&line["log"], &line["action"]), (&"firewall".into(), &"blocked".into()));
        assert_eq!(line["rules"][0]["id"], 942_100);
        assert_eq!(line["rules"][0]["value"], "1' OR***(16)");
        assert_eq!(line["rules"][0]["tags"][0], "attack-sqli");
    }

    #[test]
    fn after_rotation_lines_go_to_the_new_file() {
        let dir = tempfile::tempdir().unwrap();
        let (path, rotated) = (dir.path().join("access.log"), dir.path().join("access.log.1"));
        let log = Sink::start(Target::File(path.clone())).unwrap();
        log.lines().write(&entry(&masker(), "/before"));
        assert!(log.flush(WAIT));
        std::fs::rename(&path, &rotated).unwrap();
        log.lines().write(&entry(&masker(), "/between"));
        assert!(log.reopen());
        // Orders are carried out one after the other: when this one is, the file is the new one.
        assert!(log.flush(WAIT));
        log.lines().write(&entry(&masker(), "/after"));
        assert!(log.flush(WAIT));
        let paths = |file| lines(file).iter().map(|line| line["path"].to_string()).collect::<Vec<_>>();
        assert_eq!(paths(&rotated), ["\"/before\"", "\"/between\""]);
        assert_eq!(paths(&path), ["\"/after\""]);
    }

    #[test]
    fn lines_of_all_threads_arrive_whole_or_are_counted() {
        const EACH: usize = 5_000;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("access.log");
        let log = Sink::start(Target::File(path.clone())).unwrap();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let masker = masker();
                    let lines = log.lines();
                    (0..EACH).for_each(|_| lines.write(&entry(&masker, "/x")));
                });
            }
        });
        assert!(log.flush(WAIT));
        assert_eq!(lines(&path).len() + log.dropped() as usize, 4 * EACH);
    }

    #[test]
    fn a_full_buffer_drops_and_counts_without_waiting() {
        let (orders, _nobody_listens) = sync_channel(1);
        let log = Sink { open: Some(Open { orders, shared: Arc::default() }) };
        let lines = log.lines();
        let (_, buffer) = lines.open.as_ref().unwrap();
        lock(buffer).bytes.resize(MAX_BUFFERED_BYTES - 1, b' ');
        (0..4).for_each(|_| lines.write(&entry(&masker(), "/x")));
        assert_eq!((log.dropped(), lock(buffer).lines), (3, 1));
        assert!(log.reopen());
        assert!(!log.reopen(), "orders are bounded too");
        assert!(!log.flush(Duration::ZERO));
    }

    #[test]
    fn a_target_that_cannot_be_written_counts_as_dropped() {
        let log = Sink::start(Target::File("/dev/full".into())).unwrap();
        log.lines().write(&entry(&masker(), "/x"));
        assert!(log.flush(WAIT));
        assert_eq!(log.dropped(), 1);
    }

    #[test]
    fn off_takes_everything_and_a_bad_path_is_an_error() {
        let log = Sink::start(Target::Off).unwrap();
        log.lines().write(&entry(&masker(), "/x"));
        assert!(!log.lines().is_on() && log.reopen() && log.flush(WAIT));
        assert!(Sink::start(Target::File("/nonexistent/dir/access.log".into())).is_err());
    }

    /// CPU time of this thread so far, in nanoseconds (the kernel's `schedstat`): unlike wall time it does not
    /// count what other processes take.
    fn thread_cpu_ns() -> u64 {
        let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
        stat.split_whitespace().next().unwrap().parse().unwrap()
    }

    /// Cost on the request's core; meaningful with optimisation only:
    /// `cargo test -p veloflux-proxy --profile suite --lib -- --ignored --nocapture an_entry_costs`.
    #[test]
    #[ignore = "a measurement: run it optimised"]
    fn an_entry_costs_less_than_1500_ns() {
        // What 25,000 requests a second leave in the queue between two writes.
        const ENTRIES: u64 = 500;
        const ROUNDS: u64 = 500;
        let dir = tempfile::tempdir().unwrap();
        let log = Sink::start(Target::File(dir.path().join("access.log"))).unwrap();
        let masker = masker();
        let out = log.lines();
        let start = thread_cpu_ns();
        for _ in 0..ROUNDS {
            (0..ENTRIES).for_each(|_| out.write(&entry(&masker, "/catalogue/shoes/42")));
            assert!(log.flush(WAIT));
        }
        // The kernel counts at its ticks only, so the waiting for the flush is measured with it; it costs little.
        let each_ns = (thread_cpu_ns() - start) / (ENTRIES * ROUNDS);
        println!("access entry: {each_ns} ns, dropped {}", log.dropped());
        assert_eq!(log.dropped(), 0);
        assert!(each_ns < 1_500, "{each_ns} ns");
    }
}
