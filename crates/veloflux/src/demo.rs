//! `veloflux demo`: two tenants, three backends and an edge in one process, with everything they need in one folder.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::thread;

use tokio::net::TcpListener;
use veloflux_model::Desired;
use veloflux_model::value::{BackendAddress, Hostname};
use veloflux_proxy::Edge;

use crate::cli::Demo;
use crate::crs::{self, Store};
use crate::failure::{Failure, Outcome};
use crate::load::ProcessFile;
use crate::serve::{Reloads, run_until_told};
use crate::{demo_upstream, dev_ca, load, logging};
use veloflux_control::files::{PLAIN, write_new};

/// The tenants' host names.
const ACME: &str = "acme.localhost";
const GLOBEX: &str = "globex.localhost";

pub(crate) fn run(args: &Demo) -> Outcome {
    let folder = Folder::prepare(args)?;
    let process = ProcessFile::read(&folder.process())?;
    logging::start(&process.process.logs.process);
    start_upstreams(&load::read_document(&folder.state())?)?;
    let reloads = Reloads::first(&process, None)?;
    run_until_told(&process, &reloads, |edge| {
        print!("{}", folder.what_to_try(edge));
        Ok(())
    })
}

/// The demo's folder. What is there stays, so that it can be edited and started again.
struct Folder(PathBuf);

impl Folder {
    fn prepare(args: &Demo) -> Outcome<Self> {
        let folder = Self(args.dir.clone());
        fs::create_dir_all(&folder.0).map_err(|error| Failure::file(&folder.0, "make the folder", &error))?;
        if !folder.certs().join(format!("{GLOBEX}.pem")).exists() {
            let hosts: Result<Vec<Hostname>, _> = [ACME, GLOBEX].iter().map(|host| host.parse()).collect();
            dev_ca::make(&folder.certs(), &hosts.map_err(|error| Failure::new(error.message))?)?;
        }
        let [https, metrics, one, two, three, redirect] =
            std::array::from_fn(|index| args.port + index as u16);
        write_once(&folder.process(), &process_file(https, metrics, redirect))?;
        write_once(&folder.state(), &state_file([one, two, three]))?;
        let store = Store::in_data_directory(&folder.0.join("data"));
        if store.active()?.is_none() {
            let from = args.crs.as_ref().ok_or_else(|| {
                Failure::new(
                    "no rule set is active: name one with --crs, such as --crs /usr/share/modsecurity-crs",
                )
            })?;
            println!("{}", crs::install(&store, from, None)?);
        }
        Ok(folder)
    }

    fn process(&self) -> PathBuf {
        self.0.join("veloflux.yaml")
    }

    fn state(&self) -> PathBuf {
        self.0.join("state.yaml")
    }

    fn certs(&self) -> PathBuf {
        self.0.join("certs")
    }

    fn what_to_try(&self, edge: &Edge) -> String {
        let port = edge.addresses().first().map_or(0, SocketAddr::port);
        let curl = |host: &str| {
            let ca = self.certs().join("ca.pem");
            format!("curl --cacert {} --resolve {host}:{port}:127.0.0.1", ca.display())
        };
        let events = self.0.join("events.log");
        let attack = "id=1%27%20UNION%20SELECT%20password%20FROM%20users--%20";
        format!(
            "\n{ACME} and {GLOBEX} are served on port {port}. Try, in another terminal:\n\n\
             # a page, from one of two backends in turn: 200\n\
             {acme} https://{ACME}:{port}/\n\n\
             # an SQL injection: 403 with a request id\n\
             {acme} -i \"https://{ACME}:{port}/?{attack}\"\n\n\
             # the same at the other tenant as a browser would see it, and what the event log says about it\n\
             {globex} -H 'Accept: text/html' \"https://{GLOBEX}:{port}/?{attack}\"; sleep 1; tail -n 1 {events}\n\n\
             Ctrl-C drains and ends it.\n",
            acme = curl(ACME),
            globex = curl(GLOBEX),
            events = events.display(),
        )
    }
}

fn write_once(path: &Path, content: &str) -> Outcome {
    match write_new(path, content.as_bytes(), PLAIN) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            Err(Failure::file(path, "write it", &error))
        }
        _ => Ok(()),
    }
}

fn process_file(port: u16, metrics: u16, redirect: u16) -> String {
    format!(
        "# What this node listens on and where its logs go; read at start. `veloflux schema process` describes it.
data_directory: data
state: state.yaml
listeners:
  - {{address: \"127.0.0.1:{port}\", protocol: https}}
  - {{address: \"127.0.0.1:{redirect}\", protocol: redirect, https_port: {port}}}
metrics: {{address: \"127.0.0.1:{metrics}\"}}
logs:
  access: {{output: {{file: access.log}}}}
  events: {{output: {{file: events.log}}}}
"
    )
}

fn state_file([one, two, three]: [u16; 3]) -> String {
    format!(
        "# Two tenants; a change is taken in within two seconds. `veloflux schema state` describes the keys.
tenants:
  - name: acme
    domains: [{{host: {ACME}}}]
    certificates: [{{name: main, cert_file: certs/{ACME}.pem, key_file: certs/{ACME}.key}}]
    pools:
      - name: web
        algorithm: round_robin
        backends: [{{address: \"127.0.0.1:{one}\"}}, {{address: \"127.0.0.1:{two}\"}}]
        health_check: {{path: /health, interval: 5s, timeout: 1s}}
    routes: [{{name: all, forward: {{pool: web}}}}]
    firewall: {{mode: block, paranoia_level: 1}}
  - name: globex
    domains: [{{host: {GLOBEX}}}]
    certificates: [{{name: main, cert_file: certs/{GLOBEX}.pem, key_file: certs/{GLOBEX}.key}}]
    pools:
      - name: web
        backends: [{{address: \"127.0.0.1:{three}\"}}]
    routes: [{{name: all, forward: {{pool: web}}}}]
    firewall: {{mode: block, paranoia_level: 2}}
"
    )
}

/// Starts a demo backend for every backend of `state` on this machine, on a thread of their own; returns once all
/// listen.
fn start_upstreams(state: &Desired) -> Outcome {
    let mut listeners = Vec::new();
    for tenant in &state.tenants {
        let backends = tenant.pools.iter().flat_map(|pool| &pool.backends);
        let addresses = backends.filter_map(|backend| match backend.address.value() {
            BackendAddress::Ip(address) if address.ip().is_loopback() => Some(*address),
            BackendAddress::Ip(_) | BackendAddress::Dns(..) => None,
        });
        for (address, number) in addresses.zip(1..) {
            let name = format!("{}-{number}", tenant.name);
            let listener = listen(address).map_err(|error| {
                Failure::new(format!("the demo backend {name} cannot listen on {address}: {error}"))
            })?;
            listeners.push((name, listener));
        }
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(format!("cannot start the runtime: {error}")))?;
    let backends = move || {
        runtime.block_on(async {
            let mut running = tokio::task::JoinSet::new();
            for (name, listener) in listeners {
                match TcpListener::from_std(listener) {
                    Ok(listener) => {
                        running.spawn(demo_upstream::serve(listener, name));
                    }
                    Err(error) => tracing::error!(%name, %error, "a demo backend cannot serve"),
                }
            }
            running.join_all().await;
        });
    };
    thread::Builder::new()
        .name("demo-upstreams".to_owned())
        .spawn(backends)
        .map(|_| ())
        .map_err(|error| Failure::new(format!("cannot start a thread: {error}")))
}

fn listen(address: SocketAddr) -> std::io::Result<std::net::TcpListener> {
    let listener = std::net::TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}
