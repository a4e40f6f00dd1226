//! The running data plane: its threads, their start and their orderly end.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::runtime::LocalOptions;
use tokio::sync::watch;
use tokio::time::Instant;
use veloflux_snapshot::{AccessAction, Reader};

use crate::accept;
use crate::access;
use crate::config::{EdgeConfig, Listener};
use crate::core::{Core, Shared, process_clock_ms};
use crate::drain::Drain;
use crate::health;
use crate::limit::{self, Tables};
use crate::metrics::{self, Metrics, ProcessCounters, Sources};
use crate::scratch::Scratches;
use crate::tls::Tls;
use crate::upstream::Connections;

/// Why an edge could not be started.
#[derive(Debug)]
pub enum StartError {
    /// An address could not be listened on.
    Bind(SocketAddr, io::Error),
    /// The TLS configuration could not be made.
    Tls(rustls::Error),
    /// A serving thread could not be started.
    Thread(io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bind(address, e) => write!(f, "cannot listen on {address}: {e}"),
            Self::Tls(e) => write!(f, "cannot set up TLS: {e}"),
            Self::Thread(e) => write!(f, "cannot start a serving thread: {e}"),
        }
    }
}

impl std::error::Error for StartError {}

/// What a drain found and left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DrainReport {
    /// Connections open when the drain began.
    pub open: usize,
    /// Requests still being served at the deadline: cut.
    pub requests_cut: usize,
    /// Connections still open at the deadline: closed.
    pub connections_cut: usize,
}

/// How far the edge is on its way out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Serving,
    Draining,
    Ended,
}

/// A running data plane.
#[derive(Debug)]
pub struct Edge {
    addresses: Vec<SocketAddr>,
    metrics: Option<SocketAddr>,
    stage: watch::Sender<Stage>,
    threads: Vec<JoinHandle<()>>,
    shared: Arc<Shared>,
}

impl Edge {
    /// Binds every listener and starts serving what `snapshots` shows.
    ///
    /// `counters` are what `/metrics` shows of the process; whoever reloads counts there too.
    #[expect(clippy::needless_pass_by_value, reason = "what serves from now on is handed over")]
    pub fn start(
        config: EdgeConfig,
        snapshots: Reader,
        counters: Arc<ProcessCounters>,
    ) -> Result<Self, StartError> {
        let config = Arc::new(config);
        let tls = Arc::new(Tls::new(config.managed.clone()).map_err(StartError::Tls)?);
        let limits = Arc::new(Tables::new(config.rate_limit_memory_bytes));
        let shared = Arc::new(Shared {
            connections: 0.into(),
            requests: 0.into(),
            limits: limits.clone(),
            per_client: config.max_connections_per_client.map(limit::connections_per_client),
        });
        let (stage, _) = watch::channel(Stage::Serving);
        let epoch = Instant::now();

        // Everything is bound before anything serves: a taken address stops the start, not half of it.
        let mut listeners = config.listeners.clone();
        for Listener { address, .. } in &listeners {
            accept::check_free(*address).map_err(|e| StartError::Bind(*address, e))?;
        }
        let mut sockets = Vec::new();
        for thread in 0..config.threads.max(1) {
            let mut bound = Vec::new();
            for listener in &mut listeners {
                let address = listener.address;
                let socket = accept::bind(address).map_err(|e| StartError::Bind(address, e))?;
                if thread == 0 {
                    listener.address = socket.local_addr().map_err(|e| StartError::Bind(address, e))?;
                }
                bound.push((listener.clone(), socket));
            }
            sockets.push(bound);
        }

        let metrics = config.metrics.map(bind_metrics).transpose()?;
        let metrics_address = metrics.as_ref().map(|(_, address)| *address);

        let mut threads = Vec::new();
        let tending = Tending {
            snapshots: snapshots.clone(),
            metrics: metrics.map(|(socket, _)| socket),
            config: config.clone(),
            counters: counters.clone(),
            limits,
            epoch,
        };
        let following = stage.subscribe();
        let thread =
            std::thread::Builder::new().name("edge-tending".into()).spawn(move || tending.run(following));
        threads.push(thread.map_err(StartError::Thread)?);
        for (number, bound) in sockets.into_iter().enumerate() {
            let (config, shared, tls, counters) =
                (config.clone(), shared.clone(), tls.clone(), counters.clone());
            let (snapshots, stage) = (snapshots.clone(), stage.subscribe());
            let thread = std::thread::Builder::new().name(format!("edge-{number}")).spawn(move || {
                let core = Core {
                    number,
                    access_log: config.access_log.lines(),
                    event_log: config.event_log.lines(),
                    config,
                    snapshots: std::cell::RefCell::new(snapshots.cached()),
                    tls,
                    shared,
                    counters,
                    upstreams: Connections::default(),
                    drain: Drain::default(),
                    connections: std::cell::Cell::default(),
                    rng: std::cell::RefCell::default(),
                    scratches: Scratches::default(),
                    clock: std::cell::Cell::new(epoch),
                    epoch,
                };
                serve(core, bound, stage);
            });
            threads.push(thread.map_err(StartError::Thread)?);
        }
        let addresses = listeners.iter().map(|l| l.address).collect();
        Ok(Self { addresses, metrics: metrics_address, stage, threads, shared })
    }

    /// The addresses listened on, in the order of the configuration.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The address of the metrics listener.
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics
    }

    /// Stops accepting, lets requests in flight finish until `deadline` from now, then cuts what is left.
    pub fn drain(self, deadline: Duration) -> DrainReport {
        let open = self.shared.connections.load(Relaxed);
        let until = std::time::Instant::now() + deadline;
        self.stage.send_replace(Stage::Draining);
        while self.shared.connections.load(Relaxed) > 0 && std::time::Instant::now() < until {
            std::thread::sleep(Duration::from_millis(5));
        }
        let report = DrainReport {
            open,
            requests_cut: self.shared.requests.load(Relaxed),
            connections_cut: self.shared.connections.load(Relaxed),
        };
        self.stage.send_replace(Stage::Ended);
        for thread in self.threads {
            if thread.join().is_err() {
                tracing::error!("a serving thread panicked");
            }
        }
        report
    }
}

fn bind_metrics(address: SocketAddr) -> Result<(std::net::TcpListener, SocketAddr), StartError> {
    let bind = || {
        let socket = std::net::TcpListener::bind(address)?;
        socket.set_nonblocking(true)?;
        let bound = socket.local_addr()?;
        Ok((socket, bound))
    };
    bind().map_err(|e| StartError::Bind(address, e))
}

/// The thread beside the serving ones: health checks and the metrics listener.
struct Tending {
    snapshots: Reader,
    metrics: Option<std::net::TcpListener>,
    config: Arc<EdgeConfig>,
    counters: Arc<ProcessCounters>,
    limits: Arc<Tables>,
    epoch: Instant,
}

impl Tending {
    fn run(self, stage: watch::Receiver<Stage>) {
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => {
                tracing::error!(%error, "no runtime for health checks and metrics");
                return;
            }
        };
        runtime.block_on(async {
            let snapshots = self.snapshots.clone();
            let ended = |mut stage: watch::Receiver<Stage>| async move {
                // The sender lives as long as the edge; its end is the edge's end.
                let _ = stage.wait_for(|s| *s == Stage::Ended).await;
            };
            let checks = health::run(move || snapshots.current(), |_| {}, ended(stage.clone()));
            match self.metrics.map(TcpListener::from_std) {
                Some(Ok(listener)) => {
                    let (rules, counters) = (self.snapshots.clone(), self.counters.clone());
                    let is_welcome = move |peer| {
                        let denied = access::at_metrics(&rules.current(), peer);
                        counters.metrics_refused.fetch_add(u64::from(denied.is_some()), Relaxed);
                        denied != Some(AccessAction::Block)
                    };
                    let (snapshots, limits, epoch) = (self.snapshots, self.limits, self.epoch);
                    let metrics = Metrics::new(Sources {
                        snapshot: Box::new(move || snapshots.current()),
                        now_ms: Box::new(move || process_clock_ms(epoch, Instant::now())),
                        limit_bytes: Box::new(move || limits.memory_bytes()),
                        process: self.counters,
                        managed: self.config.managed.clone(),
                        logs: vec![
                            ("access", self.config.access_log.clone()),
                            ("events", self.config.event_log.clone()),
                        ],
                        version: self.config.version,
                    });
                    let serving = stage.clone();
                    let is_ready = move || *serving.borrow() == Stage::Serving;
                    let shown =
                        metrics::serve(listener, Arc::new(metrics), is_ready, is_welcome, ended(stage));
                    tokio::join!(checks, shown);
                }
                Some(Err(error)) => {
                    tracing::error!(%error, "cannot serve the metrics listener");
                    checks.await;
                }
                None => checks.await,
            }
        });
    }
}

/// One serving thread.
fn serve(core: Core, bound: Vec<(Listener, std::net::TcpListener)>, mut stage: watch::Receiver<Stage>) {
    let runtime =
        match tokio::runtime::Builder::new_current_thread().enable_all().build_local(LocalOptions::default())
        {
            Ok(runtime) => runtime,
            Err(error) => {
                tracing::error!(%error, "a serving thread has no runtime");
                return;
            }
        };
    let core = Rc::new(core);
    runtime.block_on(async {
        for (listener, socket) in bound {
            match TcpListener::from_std(socket) {
                Ok(socket) => {
                    tokio::task::spawn_local(accept::run(core.clone(), listener, socket));
                }
                Err(error) => {
                    tracing::error!(listener = %listener.address, %error, "cannot serve a listener");
                }
            }
        }
        let tending = core.clone();
        tokio::task::spawn_local(async move { tending.housekeeping().await });
        // The sender lives as long as the edge; its end is the edge's end.
        let _ = stage.wait_for(|s| *s != Stage::Serving).await;
        core.drain.begin();
        let _ = stage.wait_for(|s| *s == Stage::Ended).await;
    });
}
