//! haproxy from Debian: one thread, server connections shared and kept alive.

use std::net::SocketAddr;
use std::path::Path;

use super::Contender;
use crate::machine::PROXY_CORE;
use crate::process::Server;
use crate::scenario::Scenario;
use crate::workdir::{Workdir, free_port};

const HAPROXY: &str = "/usr/sbin/haproxy";

/// See the module.
pub(crate) struct Haproxy;

impl Contender for Haproxy {
    fn name(&self) -> &'static str {
        "haproxy"
    }

    fn start(&self, scenario: &Scenario, upstream: SocketAddr, workdir: &Workdir) -> Result<Server, String> {
        let port = free_port()?;
        let name = format!("haproxy-{}", scenario.name);
        let config =
            workdir.write(&format!("{name}.cfg"), config(scenario, port, upstream, workdir.root()))?;
        let arguments = ["-f", &config.display().to_string()];
        // Its log goes to standard output, which is a file here: what it writes is what it would write in service.
        Server::start(Path::new(HAPROXY), &arguments, PROXY_CORE, port, workdir.path(&format!("{name}.log")))
    }
}

fn config(scenario: &Scenario, port: u16, upstream: SocketAddr, root: &Path) -> String {
    let tls = if scenario.tls {
        format!(" ssl crt {}/both.pem alpn http/1.1 curves P-256", root.display())
    } else {
        String::new()
    };
    let (log, log_format) = if scenario.log {
        ("    log stdout len 4096 format raw local0 info\n", "    log global\n    option httplog\n")
    } else {
        ("", "")
    };
    let scheme = if scenario.tls { "https" } else { "http" };
    format!(
        "global
    nbthread 1
    maxconn 4096
    ssl-default-bind-ciphersuites TLS_AES_128_GCM_SHA256
    ssl-default-bind-options ssl-min-ver TLSv1.3
{log}
defaults
    mode http
{log_format}    option http-keep-alive
    http-reuse always
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    timeout http-request 10s

frontend edge
    bind 127.0.0.1:{port}{tls}
    option forwardfor
    http-request set-header X-Forwarded-Proto {scheme}
    unique-id-format %{{+X}}o%ci%cp%fi%fp%Ts%rt%pid
    unique-id-header X-Request-Id
    default_backend upstream

backend upstream
    server one {upstream} pool-max-conn 1024
"
    )
}
