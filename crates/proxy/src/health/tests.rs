use std::sync::Mutex;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::time::timeout;
use veloflux_snapshot::{Algorithm, BackendAddress, BackendProtocol, HealthKind};

use super::*;
use crate::testing::{pool_of, snapshot_of};

const WAIT: Duration = Duration::from_secs(10);

fn http_check(expected_body: Option<&str>) -> HealthCheck {
    HealthCheck {
        kind: HealthKind::Http {
            path: "/health?x=1".into(),
            host: None,
            expected_status: vec![(200, 299)],
            expected_body: expected_body.map(Into::into),
        },
        interval: Duration::from_millis(20),
        timeout: Duration::from_millis(500),
        rise: 2,
        fall: 2,
    }
}

fn pool_at(address: std::net::SocketAddr, check: Option<HealthCheck>) -> Pool {
    let mut pool = pool_of(Algorithm::RoundRobin, &[1]);
    pool.backends[0].address = BackendAddress::Ip(address);
    pool.health_check = check;
    pool
}

/// A backend that answers every connection with what `answer` holds.
async fn backend(answer: Arc<Mutex<&'static str>>) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 1024];
            let len = stream.read(&mut request).await.unwrap_or(0);
            assert!(len == 0 || request.starts_with(b"GET /health?x=1 HTTP/1.1\r\nHost: 10.0.0.1:80\r\n"));
            let answer = *answer.lock().unwrap();
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    address
}

/// Runs checks over what `current` holds, giving the changes.
fn start(current: Arc<Mutex<Arc<Snapshot>>>) -> tokio::sync::mpsc::UnboundedReceiver<HealthChange> {
    let (sender, changes) = tokio::sync::mpsc::unbounded_channel();
    let on_change = move |change: &HealthChange| {
        let _ = sender.send(change.clone());
    };
    tokio::spawn(run(move || current.lock().unwrap().clone(), on_change, std::future::pending()));
    changes
}

#[tokio::test]
async fn a_backend_falls_and_rises_with_its_answers() {
    let answer = Arc::new(Mutex::new("HTTP/1.1 200 OK\r\n\r\nall ok"));
    let pool = pool_at(backend(answer.clone()).await, Some(http_check(Some("ok"))));
    let state = pool.backends[0].state.clone();
    let mut changes = start(Arc::new(Mutex::new(snapshot_of(vec![pool]))));
    for (response, healthy, reason) in [
        ("HTTP/1.1 500 no\r\n\r\nall ok", false, Some("status 500 is not expected")),
        ("HTTP/1.1 200 OK\r\n\r\nall ok", true, None),
        ("HTTP/1.1 200 OK\r\n\r\nall bad", false, Some("the expected text is not in the body")),
    ] {
        *answer.lock().unwrap() = response;
        let change = timeout(WAIT, changes.recv()).await.unwrap().unwrap();
        assert_eq!((change.healthy, change.reason.as_deref()), (healthy, reason));
        assert_eq!(&*change.backend, "t/p/10.0.0.1:80");
        assert_eq!(state.healthy.load(Relaxed), healthy);
    }
}

#[tokio::test]
async fn a_backend_that_leaves_is_checked_no_more_and_one_without_check_is_up() {
    let answer = Arc::new(Mutex::new("HTTP/1.1 500 no\r\n\r\n"));
    let address = backend(answer).await;
    let current = Arc::new(Mutex::new(snapshot_of(vec![pool_at(address, Some(http_check(None)))])));
    let mut changes = start(current.clone());
    assert!(!timeout(WAIT, changes.recv()).await.unwrap().unwrap().healthy);

    let unchecked = pool_at(address, None);
    let state = unchecked.backends[0].state.clone();
    unchecked.backends[0].state.healthy.store(false, Relaxed);
    *current.lock().unwrap() = snapshot_of(vec![unchecked]);
    let change = timeout(WAIT, changes.recv()).await.unwrap().unwrap();
    assert_eq!((change.healthy, change.reason), (true, None));
    assert!(timeout(Duration::from_millis(300), changes.recv()).await.is_err());
    assert!(state.healthy.load(Relaxed));
}

#[tokio::test]
async fn a_tcp_check_follows_the_listener() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let check = HealthCheck { kind: HealthKind::Tcp, ..http_check(None) };
    let mut changes = start(Arc::new(Mutex::new(snapshot_of(vec![pool_at(address, Some(check))]))));
    assert!(timeout(Duration::from_millis(200), changes.recv()).await.is_err());
    drop(listener);
    assert!(!timeout(WAIT, changes.recv()).await.unwrap().unwrap().healthy);
    let _listener = TcpListener::bind(address).await.unwrap();
    assert!(timeout(WAIT, changes.recv()).await.unwrap().unwrap().healthy);
}

#[tokio::test]
async fn a_backend_that_says_nothing_is_down_after_the_timeout() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let check = HealthCheck { timeout: Duration::from_millis(50), ..http_check(None) };
    let pool = pool_at(listener.local_addr().unwrap(), Some(check));
    let mut changes = start(Arc::new(Mutex::new(snapshot_of(vec![pool]))));
    let change = timeout(WAIT, changes.recv()).await.unwrap().unwrap();
    assert_eq!(change.reason.as_deref(), Some("no answer in time"));
}

#[tokio::test]
async fn http2_pools_are_asked_in_http2() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut pool = pool_at(listener.local_addr().unwrap(), Some(http_check(Some("fine"))));
    pool.protocol = BackendProtocol::Http2;
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut connection = h2::server::handshake(stream).await.unwrap();
        while let Some(Ok((request, mut respond))) = connection.accept().await {
            assert_eq!(request.uri(), "http://10.0.0.1:80/health?x=1");
            let mut body = respond.send_response(http::Response::new(()), false).unwrap();
            body.send_data("all fine".into(), true).unwrap();
        }
    });
    let check = pool.health_check.clone().unwrap();
    probe::probe(&pool, &pool.backends[0], &check).await.unwrap();
}

#[tokio::test]
async fn tls_pools_are_asked_over_verified_tls() {
    let issued = rcgen::generate_simple_self_signed(vec!["backend.test".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(issued.signing_key.serialize_der()).unwrap();
    let server = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![issued.cert.der().clone()], key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(server));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut pool = pool_at(listener.local_addr().unwrap(), Some(http_check(None)));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            if let Ok(mut stream) = acceptor.accept(stream).await {
                let _ = stream.read(&mut [0; 1024]).await;
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
            }
        }
    });
    let mut roots = rustls::RootCertStore::empty();
    roots.add(issued.cert.der().clone()).unwrap();
    let client = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let config = Arc::new(client);
    let check = pool.health_check.clone().unwrap();
    for (server_name, verified) in [("backend.test", true), ("other.test", false)] {
        pool.tls = Some(veloflux_snapshot::BackendTls {
            config: config.clone(),
            server_name: Some(server_name.into()),
        });
        assert_eq!(probe::probe(&pool, &pool.backends[0], &check).await.is_ok(), verified, "{server_name}");
    }
}

#[test]
fn jitter_stays_within_a_tenth() {
    let interval = Duration::from_secs(10);
    let waits: Vec<_> = (0..1_000).map(|_| jittered(interval)).collect();
    assert!(waits.iter().all(|wait| (9.0..=11.0).contains(&wait.as_secs_f64())));
    assert!(
        waits.iter().max().unwrap().saturating_sub(*waits.iter().min().unwrap()) > Duration::from_secs(1)
    );
}
