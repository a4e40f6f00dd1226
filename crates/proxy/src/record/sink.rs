//! Where entries go: a queue, a thread, and standard output or a file.
//!
//! [`Sink::write`] serialises on the caller's core and queues the line. The queue is bounded in lines
//! ([`MAX_QUEUED_LINES`]) and bytes ([`MAX_QUEUED_BYTES`]); over either, the line is dropped and counted. The
//! writing thread is not woken by each line, which would cost the request's core a system call: it looks every
//! [`WRITE_INTERVAL`] and writes what has gathered at once.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::time::Duration;

use serde::Serialize;

use super::{AccessEntry, FirewallEvent};

/// Lines that may wait to be written.
const MAX_QUEUED_LINES: usize = 65_536;

/// Bytes that may wait to be written.
const MAX_QUEUED_BYTES: usize = 32 * 1024 * 1024;

/// Most bytes in one write.
const MAX_BATCH_BYTES: usize = 256 * 1024;

/// How long a line may wait before it is written.
const WRITE_INTERVAL: Duration = Duration::from_millis(20);

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

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::AccessEntry<'_> {}
    impl Sealed for super::FirewallEvent<'_> {}
}

/// A log that any thread may write to; off by default. Clones share one queue; the thread ends when the last is
/// dropped.
#[derive(Debug, Clone, Default)]
pub struct Sink {
    /// `None`: off.
    queue: Option<SyncSender<Message>>,
    counters: Arc<Counters>,
}

#[derive(Debug, Default)]
struct Counters {
    queued_bytes: AtomicUsize,
    dropped: AtomicU64,
}

#[derive(Debug)]
enum Message {
    Line(Vec<u8>),
    Reopen,
    /// Answered when all lines before it have been written.
    Flush(SyncSender<()>),
}

impl Sink {
    /// Opens `target` and starts the writing thread. Fails if the file cannot be opened.
    pub fn start(target: Target) -> io::Result<Self> {
        let counters = Arc::<Counters>::default();
        let Some(output) = Output::open(target)? else { return Ok(Self { queue: None, counters }) };
        let (queue, messages) = sync_channel(MAX_QUEUED_LINES);
        let mut writer = Writer { messages, output, counters: counters.clone(), batch: Batch::default() };
        std::thread::Builder::new().name("log-writer".into()).spawn(move || writer.run())?;
        Ok(Self { queue: Some(queue), counters })
    }

    /// Whether entries go anywhere: if not, making them can be spared.
    pub fn is_on(&self) -> bool {
        self.queue.is_some()
    }

    /// Queues an entry. Never blocks; what does not fit is counted in [`Sink::dropped`].
    pub fn write(&self, entry: &impl Entry) {
        const USUAL_LINE_LEN: usize = 1024;
        let Some(queue) = &self.queue else { return };
        let mut line = Vec::with_capacity(USUAL_LINE_LEN);
        if serde_json::to_writer(&mut line, entry).is_err() {
            self.counters.dropped.fetch_add(1, Relaxed);
            return;
        }
        line.push(b'\n');
        let len = line.len();
        let queued = self.counters.queued_bytes.fetch_add(len, Relaxed);
        if queued + len > MAX_QUEUED_BYTES || queue.try_send(Message::Line(line)).is_err() {
            self.counters.queued_bytes.fetch_sub(len, Relaxed);
            self.counters.dropped.fetch_add(1, Relaxed);
        }
    }

    /// Lines dropped so far, because the queue was full or the target could not be written.
    pub fn dropped(&self) -> u64 {
        self.counters.dropped.load(Relaxed)
    }

    /// Opens the file anew after rotation. `false`: the queue is full, try again.
    pub fn reopen(&self) -> bool {
        self.queue.as_ref().is_none_or(|queue| queue.try_send(Message::Reopen).is_ok())
    }

    /// Waits until everything queued so far is written, `timeout` at most; for the end of a drain. Blocks the
    /// thread. `false`: not all was written in time.
    pub fn flush(&self, timeout: Duration) -> bool {
        let Some(queue) = &self.queue else { return true };
        let (done, wait) = sync_channel(1);
        queue.try_send(Message::Flush(done)).is_ok() && wait.recv_timeout(timeout).is_ok()
    }
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
    messages: Receiver<Message>,
    output: Output,
    counters: Arc<Counters>,
    batch: Batch,
}

#[derive(Default)]
struct Batch {
    bytes: Vec<u8>,
    lines: u64,
}

impl Writer {
    fn run(&mut self) {
        loop {
            match self.messages.try_recv() {
                Ok(Message::Line(line)) => {
                    self.counters.queued_bytes.fetch_sub(line.len(), Relaxed);
                    self.batch.bytes.extend_from_slice(&line);
                    self.batch.lines += 1;
                    if self.batch.bytes.len() >= MAX_BATCH_BYTES {
                        self.write_batch();
                    }
                }
                Ok(Message::Reopen) => {
                    self.write_batch();
                    if let Err(error) = self.output.reopen() {
                        tracing::error!(%error, "log file not opened anew: the old one stays in use");
                    }
                }
                Ok(Message::Flush(done)) => {
                    self.write_batch();
                    // Whoever asked may have stopped waiting.
                    let _ = done.try_send(());
                }
                Err(TryRecvError::Empty) => {
                    self.write_batch();
                    std::thread::sleep(WRITE_INTERVAL);
                }
                Err(TryRecvError::Disconnected) => return self.write_batch(),
            }
        }
    }

    fn write_batch(&mut self) {
        if self.batch.bytes.is_empty() {
            return;
        }
        if let Err(error) = self.output.write(&self.batch.bytes) {
            tracing::error!(%error, lines = self.batch.lines, "log lines lost");
            self.counters.dropped.fetch_add(self.batch.lines, Relaxed);
        }
        self.batch.bytes.clear();
        self.batch.lines = 0;
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
                alpn: Some("http/1.1"),
            }),
            user_agent: Some(
                masker.text("Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0", 256),
            ),
            waf: Some(WafSummary { verdict: WafVerdict::Passed, score: 0, rules: &[] }),
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
        log.write(&entry(&masker(), "/a\nb/4111111111111111"));
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
        log.write(&FirewallEvent {
            time: Timestamp::now(),
            request_id: RequestId::new(),
            tenant: "acme",
            route: "shop",
            action: EventAction::Blocked,
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
        log.write(&entry(&masker(), "/before"));
        assert!(log.flush(WAIT));
        std::fs::rename(&path, &rotated).unwrap();
        log.write(&entry(&masker(), "/between"));
        assert!(log.reopen());
        log.write(&entry(&masker(), "/after"));
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
                    (0..EACH).for_each(|_| log.write(&entry(&masker, "/x")));
                });
            }
        });
        assert!(log.flush(WAIT));
        assert_eq!(lines(&path).len() + log.dropped() as usize, 4 * EACH);
    }

    #[test]
    fn a_full_queue_drops_and_counts_without_waiting() {
        let counters = Arc::new(Counters::default());
        let (queue, _nobody_reads) = sync_channel(2);
        let log = Sink { queue: Some(queue), counters };
        (0..5).for_each(|_| log.write(&entry(&masker(), "/x")));
        assert_eq!(log.dropped(), 3);
        assert!(!log.reopen());
        assert!(!log.flush(Duration::ZERO));
    }

    #[test]
    fn too_many_bytes_in_the_queue_drop_too() {
        let counters = Arc::new(Counters::default());
        counters.queued_bytes.store(MAX_QUEUED_BYTES, Relaxed);
        let (queue, _nobody_reads) = sync_channel(2);
        let log = Sink { queue: Some(queue), counters };
        log.write(&entry(&masker(), "/x"));
        assert_eq!(log.dropped(), 1);
    }

    #[test]
    fn a_target_that_cannot_be_written_counts_as_dropped() {
        let log = Sink::start(Target::File("/dev/full".into())).unwrap();
        log.write(&entry(&masker(), "/x"));
        assert!(log.flush(WAIT));
        assert_eq!(log.dropped(), 1);
    }

    #[test]
    fn off_takes_everything_and_a_bad_path_is_an_error() {
        let log = Sink::start(Target::Off).unwrap();
        log.write(&entry(&masker(), "/x"));
        assert!(!log.is_on() && log.reopen() && log.flush(WAIT));
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
        let start = thread_cpu_ns();
        for _ in 0..ROUNDS {
            (0..ENTRIES).for_each(|_| log.write(&entry(&masker, "/catalogue/shoes/42")));
            assert!(log.flush(WAIT));
        }
        // The kernel counts at its ticks only, so the waiting for the flush is measured with it; it costs little.
        let each_ns = (thread_cpu_ns() - start) / (ENTRIES * ROUNDS);
        println!("access entry: {each_ns} ns, dropped {}", log.dropped());
        assert_eq!(log.dropped(), 0);
        assert!(each_ns < 1_500, "{each_ns} ns");
    }
}
