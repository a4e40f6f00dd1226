//! Listeners and the start of a connection: PROXY protocol, TLS, protocol choice.
//!
//! Every core has a socket of its own on every listener's address (`SO_REUSEPORT`); the kernel spreads connections
//! over them, and a connection stays on its core for life.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use veloflux_snapshot::managed::ACME_TLS_ALPN;

use veloflux_snapshot::tls::ClientAuth;

use crate::client_cert::ClientCertificate;
use crate::config::{Listener, ListenerProtocol};
use crate::core::Core;
use crate::io::Stream;
use crate::limit::ConnectionPlace;
use crate::proxy_protocol::{self, MAX_HEADER_LEN, Parsed};
use crate::{h1, h2, tls};

/// Connections that wait in the kernel to be accepted, per core and listener.
const BACKLOG: i32 = 4096;

/// How long accepting rests when the system is out of descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What is known of a connection before its first request.
#[derive(Debug)]
pub(crate) struct ConnectionInfo {
    /// The peer, or the client that a trusted balancer names by PROXY protocol.
    pub(crate) peer: SocketAddr,
    /// Its IP address as text.
    pub(crate) peer_text: Box<str>,
    /// The address that was connected to.
    pub(crate) local: SocketAddr,
    /// Lower-case name that the TLS client asked for.
    pub(crate) sni: Option<Box<str>>,
    /// TLS version, `1.2` or `1.3`; `None`: no TLS.
    pub(crate) tls_version: Option<&'static str>,
    /// Under which policy the client was asked for a certificate; `None`: it was not.
    pub(crate) asked: Option<Arc<ClientAuth>>,
    /// The certificate that it has shown.
    pub(crate) client_cert: Option<ClientCertificate>,
    /// The protocol agreed on by ALPN.
    pub(crate) alpn: Option<&'static str>,
    /// The port of `https://` that every request is redirected to; `None`: requests are served here.
    pub(crate) redirect: Option<u16>,
    /// What it takes up of its tenant's connections.
    pub(crate) place: ConnectionPlace,
}

impl ConnectionInfo {
    pub(crate) fn is_tls(&self) -> bool {
        self.tls_version.is_some()
    }
}

/// A bound socket of one core.
pub(crate) fn bind(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = socket(address)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Fails if anybody listens on `address`. `SO_REUSEPORT` lets every process of a user share an address, so that a
/// second edge, started by mistake, would silently take half of the first one's connections.
pub(crate) fn check_free(address: SocketAddr) -> io::Result<()> {
    socket(address)?.bind(&address.into())
}

fn socket(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    Ok(socket)
}

/// Accepts until the core drains.
pub(crate) async fn run(core: Rc<Core>, listener: Listener, socket: TcpListener) {
    let mut drain = core.drain.watch();
    loop {
        let accepted = tokio::select! {
            biased;
            () = std::future::poll_fn(|cx| drain.poll(cx)) => return,
            accepted = socket.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let Some(permit) = Permit::take(&core) else {
                    core.counters.connections_refused.fetch_add(1, Relaxed);
                    continue;
                };
                let (core, protocol, proxied) = (core.clone(), listener.protocol, listener.proxy_protocol);
                tokio::task::spawn_local(async move {
                    connection(core, stream, peer, protocol, proxied).await;
                    drop(permit);
                });
            }
            // The client gave up before it was accepted.
            Err(e) if e.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(e) => {
                tracing::warn!(listener = %listener.address, error = %e, "cannot accept");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// The right to hold one of the process's connections.
struct Permit(Rc<Core>);

impl Permit {
    fn take(core: &Rc<Core>) -> Option<Self> {
        let open = &core.shared.connections;
        if open.fetch_add(1, Relaxed) >= core.config.max_connections {
            open.fetch_sub(1, Relaxed);
            return None;
        }
        core.connections.set(core.connections.get() + 1);
        Some(Self(core.clone()))
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.shared.connections.fetch_sub(1, Relaxed);
        self.0.connections.set(self.0.connections.get() - 1);
    }
}

async fn connection(
    core: Rc<Core>,
    stream: TcpStream,
    peer: SocketAddr,
    protocol: ListenerProtocol,
    proxied: bool,
) {
    let Ok(local) = stream.local_addr() else { return };
    let _ = stream.set_nodelay(true);
    let mut info = ConnectionInfo {
        peer,
        peer_text: Box::default(),
        local,
        sni: None,
        tls_version: None,
        asked: None,
        client_cert: None,
        alpn: None,
        redirect: match protocol {
            ListenerProtocol::Redirect { https_port } => Some(https_port),
            ListenerProtocol::Https | ListenerProtocol::Http => None,
        },
        place: ConnectionPlace::default(),
    };
    if proxied {
        let header =
            tokio::time::timeout(core.config.header_timeout, proxy_header(&core, &stream, &mut info));
        if !matches!(header.await, Ok(Ok(()))) {
            core.counters.connections_broken.fetch_add(1, Relaxed);
            return;
        }
    }
    let peer = info.peer.ip();
    let _place = match &core.shared.per_client {
        Some(limit) if !core.config.trusted_proxies.contains(peer) => {
            let place = ConnectionPlace::of_client(&core.shared.limits, limit, peer);
            if place.is_none() {
                core.counters.connections_refused.fetch_add(1, Relaxed);
                return;
            }
            place
        }
        _ => None,
    };
    info.peer_text = info.peer.ip().to_canonical().to_string().into();
    if protocol != ListenerProtocol::Https {
        return h1::server::run(core, Stream::Plain(stream), info).await;
    }
    let accept = tls::accept(&core, stream, info.peer.ip());
    let Ok(Ok(accepted)) = tokio::time::timeout(core.config.header_timeout, accept).await else {
        core.counters.handshakes_failed.fetch_add(1, Relaxed);
        return;
    };
    let tls::Accepted { stream, asked, shown } = accepted;
    (info.asked, info.client_cert) = (asked, shown);
    let session = stream.get_ref().1;
    // The handshake was the whole answer to a challenge (RFC 8737 section 3).
    if session.alpn_protocol() == Some(ACME_TLS_ALPN) {
        return;
    }
    info.sni = session.server_name().map(|name| name.to_ascii_lowercase().into());
    info.tls_version = Some(match session.protocol_version() {
        Some(rustls::ProtocolVersion::TLSv1_2) => "1.2",
        _ => "1.3",
    });
    info.alpn = match session.alpn_protocol() {
        Some(b"h2") => Some("h2"),
        Some(_) => Some("http/1.1"),
        None => None,
    };
    let stream = Stream::Tls(Box::new(stream.into()));
    if info.alpn == Some("h2") {
        h2::server::run(core, stream, info).await;
    } else {
        h1::server::run(core, stream, info).await;
    }
}

/// Reads the PROXY header that a listener demands. Only trusted peers may send one; everybody else is refused.
async fn proxy_header(core: &Core, stream: &TcpStream, info: &mut ConnectionInfo) -> io::Result<()> {
    if !core.config.trusted_proxies.contains(info.peer.ip()) {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    let mut bytes = vec![0; MAX_HEADER_LEN];
    let consumed = loop {
        let n = stream.peek(&mut bytes).await?;
        match proxy_protocol::parse(&bytes[..n]) {
            Parsed::Header { source, destination, consumed } => {
                info.peer = source;
                info.local = destination;
                break consumed;
            }
            Parsed::Local { consumed } => break consumed,
            Parsed::Incomplete if n > 0 && n < bytes.len() => {
                // Peeked bytes stay, so readiness says nothing new; the header is nearly always in one segment.
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            Parsed::Incomplete | Parsed::Invalid => return Err(io::ErrorKind::InvalidData.into()),
        }
    };
    let mut taken = 0;
    while taken < consumed {
        stream.readable().await?;
        match stream.try_read(&mut bytes[taken..consumed]) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(n) => taken += n,
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cores_share_an_address_but_processes_do_not() {
        let first = bind(([127, 0, 0, 1], 0).into()).unwrap();
        let address = first.local_addr().unwrap();
        assert!(bind(address).is_ok());
        assert_eq!(check_free(address).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(first);
    }
}
