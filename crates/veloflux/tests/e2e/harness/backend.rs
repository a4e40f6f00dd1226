//! Backends that speak HTTP/1 and do what a test tells them, well or badly.
//!
//! Each has a thread of its own, so that a test that is busy does not hold it up, and so that it can die at once.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use super::Request;
use super::message::{Framing, Reader, Stream};

/// A running backend. Dropping it kills it.
pub(crate) struct Backend {
    address: SocketAddr,
    seen: Arc<Seen>,
    /// Sending ends the thread.
    stop: watch::Sender<bool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

/// What arrived.
#[derive(Default)]
struct Seen {
    connections: AtomicUsize,
    requests: Mutex<Vec<Request>>,
}

/// The connection that a request came on.
pub(crate) struct Socket {
    reader: Reader<Box<dyn Stream>>,
    seen: Arc<Seen>,
    /// Where the request being handled is recorded.
    recorded: usize,
    framing: Framing,
    open: bool,
    /// Ends with a reset.
    reset: Arc<std::sync::atomic::AtomicBool>,
}

impl Backend {
    /// A backend on a free port that handles each request by `handler`. A connection is kept until the handler closes
    /// it.
    pub(crate) fn start(
        handler: impl AsyncFn(Request, &mut Socket) -> io::Result<()> + Send + 'static,
    ) -> Self {
        Self::start_on(([127, 0, 0, 1], 0).into(), handler)
    }

    /// The same on a given address: one that was killed comes back.
    pub(crate) fn start_on(
        address: SocketAddr,
        handler: impl AsyncFn(Request, &mut Socket) -> io::Result<()> + Send + 'static,
    ) -> Self {
        Self::listen(address, None, handler)
    }

    /// The same over TLS.
    pub(crate) fn start_tls(
        tls: Arc<rustls::ServerConfig>,
        handler: impl AsyncFn(Request, &mut Socket) -> io::Result<()> + Send + 'static,
    ) -> Self {
        Self::listen(([127, 0, 0, 1], 0).into(), Some(tls), handler)
    }

    /// Answers every request with its own name.
    pub(crate) fn named(name: &'static str) -> Self {
        Self::start(async move |_, socket| socket.answer(200, name).await)
    }

    /// Answers with the body that it received.
    pub(crate) fn echo() -> Self {
        Self::start(async |_, socket| {
            let body = socket.body().await?;
            socket.answer(200, body).await
        })
    }

    fn listen(
        address: SocketAddr,
        tls: Option<Arc<rustls::ServerConfig>>,
        handler: impl AsyncFn(Request, &mut Socket) -> io::Result<()> + Send + 'static,
    ) -> Self {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.set_reuse_address(true).unwrap();
        socket.set_nonblocking(true).unwrap();
        socket.bind(&address.into()).unwrap();
        socket.listen(4096).unwrap();
        let listener: std::net::TcpListener = socket.into();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Seen::default());
        let (stop, stopped) = watch::channel(false);
        let recorded = seen.clone();
        let thread = std::thread::spawn(move || serve(listener, tls.as_ref(), handler, &recorded, stopped));
        Self { address, seen, stop, thread: Some(thread) }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Requests whose head arrived, with as much of the body as the handler read.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.seen.requests.lock().unwrap().clone()
    }

    /// How many requests arrived.
    pub(crate) fn count(&self) -> usize {
        self.seen.requests.lock().unwrap().len()
    }

    /// How many connections were opened.
    pub(crate) fn connections(&self) -> usize {
        self.seen.connections.load(SeqCst)
    }

    /// Resets every connection and refuses new ones.
    pub(crate) fn kill(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.stop.send_replace(true);
        if let Some(thread) = self.thread.take() {
            // A handler that panicked has printed why; a test notices what it did not answer.
            let _ = thread.join();
        }
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.end();
    }
}

fn serve<H>(
    listener: std::net::TcpListener,
    tls: Option<&Arc<rustls::ServerConfig>>,
    handler: H,
    seen: &Arc<Seen>,
    mut stopped: watch::Receiver<bool>,
) where
    H: AsyncFn(Request, &mut Socket) -> io::Result<()> + 'static,
{
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let local = tokio::task::LocalSet::new();
    let handler = Rc::new(handler);
    local.block_on(&runtime, async {
        let listener = TcpListener::from_std(listener).unwrap();
        loop {
            let (stream, _) = tokio::select! {
                accepted = listener.accept() => accepted.unwrap(),
                _ = stopped.wait_for(|stop| *stop) => break,
            };
            seen.connections.fetch_add(1, SeqCst);
            let (tls, handler, seen, mut stopped) =
                (tls.cloned(), handler.clone(), seen.clone(), stopped.clone());
            tokio::task::spawn_local(async move {
                // Of a killed backend nothing is left to say an orderly goodbye: its connections are reset.
                let socket = socket2::SockRef::from(&stream).try_clone().unwrap();
                let reset = Arc::new(std::sync::atomic::AtomicBool::new(false));
                tokio::select! {
                    () = connection(stream, tls, &*handler, seen, reset.clone()) => {}
                    _ = stopped.wait_for(|stop| *stop) => reset.store(true, SeqCst),
                }
                if reset.load(SeqCst) {
                    let _ = socket.set_linger(Some(Duration::ZERO));
                }
            });
        }
        drop(listener);
        // Connections see the end too, and are gone with a reset.
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
    });
}

async fn connection<H>(
    stream: TcpStream,
    tls: Option<Arc<rustls::ServerConfig>>,
    handler: &H,
    seen: Arc<Seen>,
    reset: Arc<std::sync::atomic::AtomicBool>,
) where
    H: AsyncFn(Request, &mut Socket) -> io::Result<()>,
{
    let _ = stream.set_nodelay(true);
    let stream: Box<dyn Stream> = match tls {
        None => Box::new(stream),
        Some(tls) => match TlsAcceptor::from(tls).accept(stream).await {
            Ok(stream) => Box::new(stream),
            Err(_) => return,
        },
    };
    let reader = Reader::new(stream);
    let mut socket = Socket { reader, seen, recorded: 0, framing: Framing::Length(0), open: true, reset };
    while socket.open {
        let Ok(Some(request)) = socket.reader.request().await else { break };
        socket.framing = Framing::of(&request.fields, Framing::Length(0));
        {
            let mut requests = socket.seen.requests.lock().unwrap();
            socket.recorded = requests.len();
            requests.push(request.clone());
        }
        if handler(request, &mut socket).await.is_err() {
            break;
        }
    }
}

impl Socket {
    /// Reads the request's body.
    pub(crate) async fn body(&mut self) -> io::Result<Vec<u8>> {
        let framing = std::mem::replace(&mut self.framing, Framing::Length(0));
        let (body, trailers) = self.reader.body(framing).await?;
        let recorded = &mut self.seen.requests.lock().unwrap()[self.recorded];
        recorded.body.clone_from(&body);
        recorded.trailers = trailers;
        Ok(body)
    }

    /// Answers with a body and its length.
    pub(crate) async fn answer(&mut self, status: u16, body: impl AsRef<[u8]>) -> io::Result<()> {
        let body = body.as_ref();
        let mut bytes = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n", body.len()).into_bytes();
        bytes.extend_from_slice(body);
        self.send(bytes).await
    }

    /// Sends bytes as they are.
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.reader.stream.write_all(bytes.as_ref()).await?;
        self.reader.stream.flush().await
    }

    /// Takes some bytes; none: the end.
    pub(crate) async fn some(&mut self) -> io::Result<Vec<u8>> {
        self.reader.some().await
    }

    /// Closes the connection after this request.
    pub(crate) async fn close(&mut self) -> io::Result<()> {
        self.open = false;
        self.reader.stream.shutdown().await
    }

    /// Resets the connection.
    pub(crate) fn reset(&mut self) {
        self.open = false;
        self.reset.store(true, SeqCst);
    }
}
