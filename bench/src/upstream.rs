//! The one upstream behind every contender: an nginx that answers from memory, on the load generator's core.

use std::net::SocketAddr;
use std::path::Path;

use crate::contender::NGINX;
use crate::machine::LOAD_CORE;
use crate::process::Server;
use crate::scenario::ANSWERS;
use crate::workdir::{Workdir, free_port};

/// Text that bodies are made of: ordinary prose, since with the firewall on answers are inspected too.
const PROSE: &str = "The garden chair is made of oiled oak and seats one person. ";

/// The running upstream.
pub(crate) struct Upstream {
    server: Server,
}

impl Upstream {
    /// Writes the configuration and starts the upstream.
    pub(crate) fn start(workdir: &Workdir) -> Result<Self, String> {
        let port = free_port()?;
        let files = workdir.create_folder("upstream")?;
        for (target, length) in ANSWERS {
            let body: String = PROSE.chars().cycle().take(length).collect();
            workdir.write(&format!("upstream{target}"), body)?;
        }
        let config = workdir.write("upstream.conf", config(port, workdir.root(), &files))?;
        let arguments = ["-c", &config.display().to_string(), "-p", &workdir.root().display().to_string()];
        let server =
            Server::start(Path::new(NGINX), &arguments, LOAD_CORE, port, workdir.path("upstream.log"))?;
        Ok(Self { server })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.server.address
    }
}

/// A POST is answered like a GET: nginx refuses to answer one from a file, which is then turned into the file.
fn config(port: u16, root: &Path, files: &Path) -> String {
    format!(
        "daemon off;
user root root;
worker_processes 1;
pid {root}/upstream.pid;
error_log stderr error;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path {root}/upstream-body;
    sendfile on;
    tcp_nopush on;
    tcp_nodelay on;
    keepalive_timeout 600s;
    keepalive_requests 1000000000;
    open_file_cache max=16 inactive=600s;
    open_file_cache_valid 600s;
    default_type text/html;
    server {{
        listen 127.0.0.1:{port} reuseport;
        root {files};
        error_page 405 =200 $uri;
    }}
}}
",
        root = root.display(),
        files = files.display(),
    )
}
