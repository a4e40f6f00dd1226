//! The process's own log, on standard error: text on a terminal, one JSON object per line elsewhere.

use std::io::IsTerminal as _;

use tracing::Level;
use veloflux_model::process::{self, LogFormat, ProcessLog};

/// Starts the log; the first call of a process counts.
pub(crate) fn start(log: &ProcessLog) {
    let level = match log.level {
        process::Level::Error => Level::ERROR,
        process::Level::Warn => Level::WARN,
        process::Level::Info => Level::INFO,
        process::Level::Debug => Level::DEBUG,
        process::Level::Trace => Level::TRACE,
    };
    let terminal = std::io::stderr().is_terminal();
    let json = match log.format {
        LogFormat::Auto => !terminal,
        LogFormat::Text => false,
        LogFormat::Json => true,
    };
    let subscriber =
        tracing_subscriber::fmt().with_max_level(level).with_writer(std::io::stderr).with_target(false);
    // A second start would fail; the first log stays, which is what is wanted.
    let _ = if json {
        subscriber.json().flatten_event(true).with_current_span(false).with_span_list(false).try_init()
    } else {
        subscriber.with_ansi(terminal).try_init()
    };
}
