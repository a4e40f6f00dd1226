//! An authority that issues certificates by ACME: Debian's `pebble`, its DNS from `pebble-challtestsrv`, and in front of
//! it a [`Backend`] that passes everything on, remembers it, and does what a test wants to go wrong.
//!
//! Edges take free ports when they start, and other ones when they start again; the authority reaches them through a
//! gate whose ports stay the same.

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::backend::Socket;
use super::{Backend, Client, Edge, Request, Response, soon};

/// Paths of the authority's resources.
pub(crate) const NEW_ORDER: &str = "/order-plz";
pub(crate) const NEW_ACCOUNT: &str = "/sign-me-up";
const DIRECTORY: &str = "/dir";
const RENEWAL_INFO: &str = "/renewal-info";

/// The external account that every authority with `eab` knows, with its key in base64url.
pub(crate) const EXTERNAL: (&str, &str) =
    ("kid-1", "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W");

/// How an authority is to be.
#[derive(Default)]
pub(crate) struct Manner {
    /// Its environment, such as `PEBBLE_WFE_NONCEREJECT=50`.
    pub(crate) environment: &'static [(&'static str, &'static str)],
    /// Whether accounts have to be bound to [`EXTERNAL`].
    pub(crate) external_accounts: bool,
    /// How long certificates are valid, in seconds; 0: five years.
    pub(crate) validity_s: u64,
    /// Where it looks names up; `None`: at the test server, which knows every name.
    pub(crate) dns: Option<SocketAddr>,
}

/// What goes wrong, or right in another way: an answer in place of the authority's own.
type Intervention = Box<dyn FnMut(&Request) -> Option<Answer> + Send>;

/// An answer in place of the authority's.
pub(crate) enum Answer {
    /// The connection ends without one.
    Reset,
    /// Status, fields, body.
    Response(u16, Vec<(String, String)>, String),
}

/// A running authority. Dropping it ends it.
pub(crate) struct Authority {
    front: Backend,
    children: Vec<Child>,
    management: SocketAddr,
    dns_management: SocketAddr,
    gate: Gate,
    state: Arc<State>,
}

/// What the front knows.
#[derive(Default)]
struct State {
    intervention: Mutex<Option<Intervention>>,
    /// The window that certificates are to be renewed in, as JSON; `None`: it says nothing of that.
    window: Mutex<Option<Value>>,
    /// Orders that were taken.
    orders: AtomicUsize,
}

/// Ports that lead to whatever edge was let in last.
struct Gate {
    http: Arc<Mutex<Option<SocketAddr>>>,
    tls: Arc<Mutex<Option<SocketAddr>>>,
}

impl Authority {
    /// Starts an authority whose own certificate comes from the edge's development authority.
    pub(crate) async fn start(edge: &Edge, manner: Manner) -> Self {
        edge.make_certificates(&["127.0.0.1"]);
        let (http, http_port) = gate().await;
        let (tls, tls_port) = gate().await;
        let [own, management, dns, dns_management] = free_addresses();
        let eab = manner.external_accounts;
        let config = json!({"pebble": {
            "listenAddress": own.to_string(),
            "managementListenAddress": management.to_string(),
            "certificate": edge.path("certs/127.0.0.1.pem"),
            "privateKey": edge.path("certs/127.0.0.1.key"),
            "httpPort": http_port,
            "tlsPort": tls_port,
            "ocspResponderURL": "",
            "externalAccountBindingRequired": eab,
            "externalAccountMACKeys": if eab { json!({EXTERNAL.0: EXTERNAL.1}) } else { json!({}) },
            "certificateValidityPeriod": manner.validity_s,
        }});
        let file = edge.path(&format!("pebble-{}.json", own.port()));
        std::fs::write(&file, config.to_string()).unwrap();
        let mut children = Vec::new();
        let mut pebble = Command::new("pebble");
        pebble
            .args(["-strict", "-dnsserver", &manner.dns.unwrap_or(dns).to_string(), "-config"])
            .arg(file)
            .envs(manner.environment.iter().copied());
        if !manner.environment.iter().any(|(name, _)| name.starts_with("PEBBLE_VA_")) {
            pebble.env("PEBBLE_VA_NOSLEEP", "1");
        }
        children.push(spawn(&mut pebble));
        children.push(spawn(Command::new("pebble-challtestsrv").args([
            "-http01=",
            "-https01=",
            "-tlsalpn01=",
            "-defaultIPv6=",
            &format!("-dns01={dns}"),
            &format!("-management={dns_management}"),
        ])));
        for address in [own, management, dns_management] {
            listening(address).await;
        }
        let state: Arc<State> = Arc::default();
        let (known, root) = (state.clone(), edge.certificate("ca"));
        let front = Backend::start_tls(edge.backend_tls("127.0.0.1"), async move |request, socket| {
            front(own, root.clone(), request, socket, &known).await
        });
        let gate = Gate { http, tls };
        Self { front, children, management, dns_management, gate, state }
    }

    /// The directory's URL.
    pub(crate) fn directory(&self) -> String {
        format!("https://{}{DIRECTORY}", self.front.address())
    }

    /// Lets the authority reach a running edge.
    pub(crate) fn let_in(&self, edge: &Edge) {
        *self.gate.http.lock().unwrap() = Some(edge.http());
        *self.gate.tls.lock().unwrap() = Some(edge.https());
    }

    /// Lets the authority reach this address for challenges over HTTP.
    pub(crate) fn let_in_http(&self, address: SocketAddr) {
        *self.gate.http.lock().unwrap() = Some(address);
    }

    /// How many orders it has taken.
    pub(crate) fn orders(&self) -> usize {
        self.state.orders.load(SeqCst)
    }

    /// The requests that it was sent for paths that begin so.
    pub(crate) fn requests(&self, path: &str) -> Vec<Request> {
        self.front.requests().into_iter().filter(|request| request.target.starts_with(path)).collect()
    }

    /// Answers requests by `intervention` from now on, where that gives an answer.
    pub(crate) fn intervene(&self, intervention: impl FnMut(&Request) -> Option<Answer> + Send + 'static) {
        *self.state.intervention.lock().unwrap() = Some(Box::new(intervention));
    }

    /// Goes back to its own answers.
    pub(crate) fn behave(&self) {
        *self.state.intervention.lock().unwrap() = None;
    }

    /// Says from now on that certificates are to be renewed between these times, in seconds from now (RFC 9773).
    pub(crate) fn renew_between(&self, from_s: i64, to_s: i64) {
        let at = |s: i64| {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
            rfc3339(now.as_secs() as i64 + s)
        };
        *self.state.window.lock().unwrap() = Some(json!({"start": at(from_s), "end": at(to_s)}));
    }

    /// The root that everything it issues leads to.
    pub(crate) async fn root(&self, edge: &Edge) -> CertificateDer<'static> {
        let root =
            over_tls(self.management, edge.certificate("ca"), "GET", "/roots/0", &[], b"").await.unwrap();
        CertificateDer::from_pem_slice(&root.body).unwrap()
    }

    /// Where the DNS server takes records from, for whoever writes them.
    pub(crate) fn dns_management(&self) -> SocketAddr {
        self.dns_management
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

async fn front(
    own: SocketAddr,
    root: CertificateDer<'static>,
    request: Request,
    socket: &mut Socket,
    state: &State,
) -> io::Result<()> {
    let body = socket.body().await?;
    let request = Request { body, ..request };
    let intervened = state.intervention.lock().unwrap().as_mut().and_then(|intervene| intervene(&request));
    match intervened {
        Some(Answer::Reset) => {
            socket.reset();
            return Ok(());
        }
        Some(Answer::Response(status, fields, body)) => {
            return respond(socket, status, &fields, body.as_bytes()).await;
        }
        None => {}
    }
    let window = state.window.lock().unwrap().clone();
    if let (Some(window), true) = (&window, request.target.starts_with(RENEWAL_INFO)) {
        let fields = [("Retry-After".to_owned(), "3600".to_owned())];
        let body = json!({"suggestedWindow": window}).to_string();
        return respond(socket, 200, &fields, body.as_bytes()).await;
    }
    let Request { method, target, fields, body, .. } = &request;
    let mut response = over_tls(own, root, method, target, &fields.0, body).await?;
    if target == NEW_ORDER && response.status == 201 {
        state.orders.fetch_add(1, SeqCst);
    }
    if let Some(host) = request.header("host").filter(|_| window.is_some()) {
        response.body = with_renewal(&request, host, response.body);
    }
    let kept: Vec<(String, String)> = response
        .fields
        .0
        .into_iter()
        .filter(|(name, _)| {
            !["content-length", "transfer-encoding"].contains(&name.to_ascii_lowercase().as_str())
        })
        .collect();
    let shown = if method == "HEAD" { &[][..] } else { &response.body };
    respond(socket, response.status, &kept, shown).await
}

/// What the authority would say if it knew RFC 9773: where to ask, and which certificate an order replaces.
fn with_renewal(request: &Request, host: &str, body: Vec<u8>) -> Vec<u8> {
    let Ok(mut answer) = serde_json::from_slice::<Value>(&body) else { return body };
    if request.target == DIRECTORY {
        answer["renewalInfo"] = format!("https://{host}{RENEWAL_INFO}").into();
    } else if request.target == NEW_ORDER
        && let Some(replaces) = payload(request).get("replaces")
    {
        answer["replaces"] = replaces.clone();
    }
    answer.to_string().into_bytes()
}

/// What a signed request says.
pub(crate) fn payload(request: &Request) -> Value {
    let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
    let decode = |text: &str| {
        use base64::Engine as _;
        base64::prelude::BASE64_URL_SAFE_NO_PAD.decode(text).unwrap()
    };
    serde_json::from_slice(&decode(body["payload"].as_str().unwrap_or_default())).unwrap_or_default()
}

async fn respond(
    socket: &mut Socket,
    status: u16,
    fields: &[(String, String)],
    body: &[u8],
) -> io::Result<()> {
    let fields = field_lines(fields);
    let head = format!("HTTP/1.1 {status} X\r\n{fields}Content-Length: {}\r\n\r\n", body.len());
    socket.send([head.as_bytes(), body].concat()).await
}

fn field_lines(fields: &[(String, String)]) -> String {
    let lines: Vec<_> = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    lines.concat()
}

async fn over_tls(
    address: SocketAddr,
    root: CertificateDer<'static>,
    method: &str,
    target: &str,
    fields: &[(String, String)],
    body: &[u8],
) -> io::Result<Response> {
    let config = super::edge::client_tls(root, &[], rustls::ALL_VERSIONS, None);
    let stream = super::edge::handshake(config, TcpStream::connect(address).await?, "127.0.0.1").await?;
    let mut client = Client::over(stream);
    let fields = field_lines(fields);
    let host = if fields.to_ascii_lowercase().contains("host:") { "" } else { "Host: authority\r\n" };
    let head = format!("{method} {target} HTTP/1.1\r\n{host}{fields}\r\n");
    client.try_send([head.as_bytes(), body].concat()).await?;
    if method == "HEAD" { Ok(client.response_head().await) } else { client.try_response().await }
}

/// A port that leads to the address behind the lock.
async fn gate() -> (Arc<Mutex<Option<SocketAddr>>>, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let target: Arc<Mutex<Option<SocketAddr>>> = Arc::default();
    let leads_to = target.clone();
    tokio::spawn(async move {
        while let Ok((mut from, _)) = listener.accept().await {
            let leads_to = leads_to.clone();
            tokio::spawn(async move {
                let mut first = vec![0; 4096];
                let Ok(length) = from.read(&mut first).await else { return };
                // As a balancer would, for an edge that dies before it has said anything, or is being started again.
                for _ in 0..50 {
                    let Some(address) = *leads_to.lock().unwrap() else { return };
                    if let Ok((mut to, answer)) = asked(address, &first[..length]).await {
                        if from.write_all(&answer).await.is_ok() {
                            let _ = tokio::io::copy_bidirectional(&mut from, &mut to).await;
                        }
                        return;
                    }
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            });
        }
    });
    (target, port)
}

/// A connection on which this was sent, and the beginning of the answer.
async fn asked(address: SocketAddr, first: &[u8]) -> io::Result<(TcpStream, Vec<u8>)> {
    let mut to = TcpStream::connect(address).await?;
    to.write_all(first).await?;
    let mut answer = Vec::with_capacity(4096);
    if to.read_buf(&mut answer).await? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok((to, answer))
}

/// Addresses that nobody listens on, over TCP or UDP.
pub(crate) fn free_addresses<const N: usize>() -> [SocketAddr; N] {
    let held = [(); N].map(|()| {
        loop {
            let tcp = StdListener::bind("127.0.0.1:0").unwrap();
            let address = tcp.local_addr().unwrap();
            if let Ok(udp) = UdpSocket::bind(address) {
                return (address, tcp, udp);
            }
        }
    });
    held.map(|(address, ..)| address)
}

fn spawn(command: &mut Command) -> Child {
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    child.unwrap_or_else(|error| panic!("{command:?}: {error}; scripts/setup installs it"))
}

pub(crate) async fn listening(address: SocketAddr) {
    soon(&format!("{address} is listened on"), async {
        while TcpStream::connect(address).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

fn rfc3339(unix_s: i64) -> String {
    let output =
        Command::new("date").args(["-u", "-d", &format!("@{unix_s}"), "+%Y-%m-%dT%H:%M:%SZ"]).output();
    String::from_utf8(output.unwrap().stdout).unwrap().trim().to_owned()
}
