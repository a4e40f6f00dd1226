//! nginx from Debian: one worker, upstream connections kept alive; with the firewall on, libmodsecurity's module.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::Contender;
use crate::machine::PROXY_CORE;
use crate::process::Server;
use crate::scenario::Scenario;
use crate::workdir::{HOST, Workdir, free_port};

/// Debian's program.
pub(crate) const NGINX: &str = "/usr/sbin/nginx";
const MODULE: &str = "/usr/lib/nginx/modules/ngx_http_modsecurity_module.so";

/// See the module.
pub(crate) struct Nginx {
    name: &'static str,
}

impl Nginx {
    /// As it comes.
    pub(crate) fn plain() -> Self {
        Self { name: "nginx" }
    }

    /// With libmodsecurity and the CRS, for rows with the firewall on.
    pub(crate) fn with_modsecurity() -> Self {
        Self { name: "nginx-modsecurity" }
    }
}

impl Contender for Nginx {
    fn name(&self) -> &'static str {
        self.name
    }

    fn start(&self, scenario: &Scenario, upstream: SocketAddr, workdir: &Workdir) -> Result<Server, String> {
        let port = free_port()?;
        let name = format!("{}-{}", self.name, scenario.name);
        let rules = if scenario.firewall { Some(write_rules(workdir)?) } else { None };
        let config = config(scenario, port, upstream, workdir.root(), rules.as_deref());
        let config = workdir.write(&format!("{name}.conf"), config)?;
        let arguments = ["-c", &config.display().to_string(), "-p", &workdir.root().display().to_string()];
        Server::start(Path::new(NGINX), &arguments, PROXY_CORE, port, workdir.path(&format!("{name}.log")))
    }
}

/// The engine's set-up, in effect that of the configuration which libmodsecurity recommends, then the CRS.
fn write_rules(workdir: &Workdir) -> Result<PathBuf, String> {
    let crs = super::crs_folder()?;
    let setup = super::crs_setup(&crs)?;
    let rules = format!(
        "SecRuleEngine On
SecRequestBodyAccess On
SecRequestBodyLimit 13107200
SecRequestBodyNoFilesLimit 131072
SecRequestBodyLimitAction Reject
SecResponseBodyAccess On
SecResponseBodyMimeType text/plain text/html text/xml application/json
SecResponseBodyLimit 524288
SecResponseBodyLimitAction ProcessPartial
SecAuditEngine Off
SecRule REQUEST_HEADERS:Content-Type \"@rx ^application/json\" \
\"id:100,phase:1,pass,nolog,t:none,t:lowercase,ctl:requestBodyProcessor=JSON\"
SecRule REQUEST_HEADERS:Content-Type \"@rx ^(?:text|application)/xml\" \
\"id:101,phase:1,pass,nolog,t:none,t:lowercase,ctl:requestBodyProcessor=XML\"
Include {setup}
Include {crs}/rules/*.conf
",
        setup = setup.display(),
        crs = crs.display(),
    );
    workdir.write("modsecurity.conf", rules)
}

fn config(scenario: &Scenario, port: u16, upstream: SocketAddr, root: &Path, rules: Option<&Path>) -> String {
    let root = root.display();
    let load_module = if rules.is_some() { format!("load_module {MODULE};\n") } else { String::new() };
    let firewall = rules.map_or(String::new(), |rules| {
        format!("modsecurity on;\n        modsecurity_rules_file {};", rules.display())
    });
    let (listen, tls) = if scenario.tls {
        let tls = format!(
            "ssl_certificate {root}/cert.pem;
        ssl_certificate_key {root}/key.pem;
        ssl_protocols TLSv1.3;
        ssl_ecdh_curve prime256v1;
        ssl_session_cache shared:tls:1m;"
        );
        ("ssl", tls)
    } else {
        ("", String::new())
    };
    // The fields of VeloFlux's access log that nginx knows, buffered as VeloFlux buffers.
    let log = if scenario.log {
        format!("access_log {root}/nginx-access.log edge buffer=64k flush=1s;")
    } else {
        "access_log off;".to_owned()
    };
    format!(
        "{load_module}daemon off;
user root root;
worker_processes 1;
pid {root}/nginx-{port}.pid;
error_log stderr error;
events {{ worker_connections 1024; }}
http {{
    log_format edge escape=json '{{\"time\":\"$time_iso8601\",\"request_id\":\"$request_id\",\"host\":\"$host\",'
        '\"method\":\"$request_method\",\"path\":\"$uri\",\"query\":\"$args\",\"protocol\":\"$server_protocol\",'
        '\"status\":$status,\"bytes_in\":$request_length,\"bytes_out\":$bytes_sent,\"duration\":$request_time,'
        '\"upstream\":\"$upstream_addr\",\"upstream_time\":\"$upstream_response_time\",\"client\":\"$remote_addr\",'
        '\"user_agent\":\"$http_user_agent\"}}';
    client_body_temp_path {root}/nginx-body;
    proxy_temp_path {root}/nginx-proxy;
    client_body_buffer_size 128k;
    sendfile on;
    tcp_nopush on;
    tcp_nodelay on;
    keepalive_timeout 600s;
    keepalive_requests 1000000000;
    upstream backend {{
        server {upstream};
        keepalive 256;
        keepalive_requests 1000000000;
        keepalive_timeout 600s;
    }}
    server {{
        listen 127.0.0.1:{port} reuseport {listen};
        server_name {HOST};
        {tls}
        {log}
        {firewall}
        location / {{
            proxy_pass http://backend;
            proxy_http_version 1.1;
            proxy_set_header Connection \"\";
            proxy_set_header Host $host;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_set_header X-Request-Id $request_id;
        }}
    }}
}}
"
    )
}
