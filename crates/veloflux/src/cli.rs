//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use veloflux_model::value::{Hostname, Version};

/// An edge that many tenants share: TLS, routing, balancing, and the OWASP Core Rule Set for each of them.
#[derive(Debug, Parser)]
#[command(name = "veloflux", version, after_help = EXIT_CODES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXIT_CODES: &str =
    "Exit codes: 0 done; 1 refused or failed, with the reason on standard error; 2 wrong usage.";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Checks everything that `serve` would: both files, certificates, rule sets.
    ///
    /// Each problem is printed as `file:line:column: message`, with what would be right below it.
    Check(Files),
    /// Prints the JSON Schema of a file.
    Schema(Schema),
    /// Lists certificates: whose they are, where they come from, when they end and are renewed, and what went wrong.
    ///
    /// Reads the files and the data directory; a running process is not asked. Keys are not read.
    Certificates(Certificates),
    /// Installs, lists and activates rule sets.
    Crs(Crs),
    /// Serves what the state file says.
    ///
    /// The state is read again on SIGHUP, and (unless the process file says `reload: {watch: false}`) within about
    /// two seconds of a change to the state file, to a file that it names, or to the active rule set. A state with an
    /// error changes nothing: the old one stays in force. SIGUSR1 opens log files anew. SIGTERM and SIGINT stop
    /// accepting and let requests in flight finish, up to `limits.drain_timeout`; a second one ends at once.
    Serve(Files),
    /// Runs a small backend that answers with what it was asked.
    ///
    /// `/health` answers 200, `/slow?ms=N` waits up to a minute, `/sse?n=N` sends events, `/ws` echoes over WebSocket;
    /// every other path answers with the backend's name, the request as it came, and the body.
    DemoUpstream(DemoUpstream),
    /// Makes a development authority and certificates for host names, for machines of developers only.
    DevCa(DevCa),
    /// Serves two demo tenants with three demo backends, all in one process, and prints what to try.
    Demo(Demo),
    /// Asks the firewall's engine, or what a running one is busy with.
    Waf(Waf),
}

/// The two files that an edge is told by.
#[derive(Debug, Clone, Args)]
pub(crate) struct Files {
    /// The process file: listeners, limits, logs.
    #[arg(long, value_name = "FILE", default_value = "veloflux.yaml")]
    pub(crate) process: PathBuf,
    /// The state file: tenants. Default: the one that the process file names.
    #[arg(long, value_name = "FILE")]
    pub(crate) state: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Certificates {
    #[command(flatten)]
    pub(crate) files: Files,
    /// Prints a JSON array.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Schema {
    /// Which file.
    pub(crate) file: SchemaOf,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum SchemaOf {
    /// The process file, `veloflux.yaml`.
    Process,
    /// The state file, `state.yaml`.
    State,
}

#[derive(Debug, Args)]
pub(crate) struct Crs {
    /// The data directory, as in the process file.
    #[arg(long, value_name = "DIR", global = true, default_value = "/var/lib/veloflux")]
    pub(crate) data_dir: PathBuf,
    #[command(subcommand)]
    pub(crate) command: CrsCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum CrsCommand {
    /// Checks a rule set, copies it into the data directory and activates it.
    ///
    /// Refuses one that does not compile whole, and says why. Installing the same content again is no error.
    Install {
        /// An unpacked release, Debian's /usr/share/modsecurity-crs, or a release's .tar.gz.
        #[arg(long, value_name = "DIR|TARBALL")]
        from: PathBuf,
        /// Version to install it as. Default: the one that the rule set states.
        #[arg(long, value_name = "VERSION")]
        name: Option<Version>,
    },
    /// Lists the installed versions, the newest last; `*` marks the active one.
    List,
    /// Makes an installed version the one that is used where a policy names none.
    Activate {
        /// The version, as listed.
        version: Version,
    },
}

#[derive(Debug, Args)]
pub(crate) struct DemoUpstream {
    /// Address to listen on; port 0 takes a free one and prints it.
    #[arg(long, value_name = "ADDR")]
    pub(crate) listen: SocketAddr,
    /// Name that it answers with.
    #[arg(long, value_name = "NAME", default_value = "demo")]
    pub(crate) name: String,
}

#[derive(Debug, Args)]
pub(crate) struct DevCa {
    /// Folder for `ca.pem`, `ca.key`, and `HOST.pem` and `HOST.key` of every host. An authority that is there is used again.
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: PathBuf,
    /// Host name to make a certificate for; may be given several times.
    #[arg(long = "host", value_name = "HOST", required = true)]
    pub(crate) hosts: Vec<Hostname>,
}

#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// Folder for everything that the demo makes; what is there is left as it is.
    #[arg(long, value_name = "DIR", default_value = ".run")]
    pub(crate) dir: PathBuf,
    /// Rule set to install if none is active yet.
    #[arg(long, value_name = "DIR|TARBALL")]
    pub(crate) crs: Option<PathBuf>,
    /// Port of the HTTPS listener in a fresh folder; the next five are those of the metrics, the three backends, and
    /// the listener that redirects to HTTPS.
    #[arg(long, value_name = "PORT", default_value_t = 8443, value_parser = clap::value_parser!(u16).range(1..=65_530))]
    pub(crate) port: u16,
}

#[derive(Debug, Args)]
pub(crate) struct Waf {
    #[command(subcommand)]
    pub(crate) command: WafCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum WafCommand {
    /// Judges one request, and says why it passes or is refused.
    ///
    /// Prints the verdict, the rules that matched and on what, how the scores came about, and the time that judging
    /// takes. Ends with 0 whatever the verdict is; with 1 if the rules do not compile or the request cannot be read.
    /// What is printed shows the request as it is, secrets included.
    Eval(Eval),
    /// Shows which rules and tenants cost a running process's firewall most.
    ///
    /// Work is counted in units that follow it and not the clock. What is done for all rules together, such as
    /// transforming a value, counts for its tenant and for no rule. The process lists the 50 rules that cost most.
    Top(Top),
}

#[derive(Debug, Args)]
pub(crate) struct Top {
    /// The process file, whose metrics listener is asked.
    #[arg(long, value_name = "FILE", default_value = "veloflux.yaml")]
    pub(crate) process: PathBuf,
    /// The metrics listener's address, in place of the process file.
    #[arg(long, value_name = "ADDR", conflicts_with = "process")]
    pub(crate) metrics: Option<SocketAddr>,
    /// Rules, and tenants, to show.
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub(crate) count: usize,
    /// Looks at this many seconds from now; 0: at all the time since the process began.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=86_400))]
    pub(crate) seconds: u64,
    /// Prints one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Eval {
    /// Rules: an unpacked release of the CRS, a folder of .conf files, or one file; may be given several times, and
    /// counts in the order given.
    ///
    /// Behind the engine's own base configuration, as in `serve`. Files that a single file names are looked for in its
    /// own folder.
    #[arg(long, value_name = "DIR|FILE", required = true, num_args = 1..)]
    pub(crate) rules: Vec<PathBuf>,
    /// The request: raw HTTP/1, or one line of JSON with Method, URI, Version, Headers (pairs) and Body (Base64).
    #[arg(long, value_name = "FILE")]
    pub(crate) request: PathBuf,
    /// Paranoia level, for rules that have levels as the CRS has.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=4))]
    pub(crate) level: u8,
    /// Prints one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}
