//! Everything at once: a thousand requests in flight, a state that changes fifty times, a backend that dies and comes
//! back; nobody notices.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use crate::harness::{Backend, Client, Edge, Response, list, until};

/// Requests in flight at any time.
const IN_FLIGHT: usize = 1000;

/// WebSockets open from beginning to end, half of them of a tenant whose state changes.
const WEBSOCKETS: usize = 100;

/// Changes of the state.
const RELOADS: usize = 50;

/// How often the backend is killed and revived meanwhile.
const KILLS: usize = 5;

/// A backend that takes its time, so that a death hits requests in the middle.
fn slow(address: SocketAddr) -> Backend {
    Backend::start_on(address, async |_, socket| {
        tokio::time::sleep(Duration::from_millis(200)).await;
        socket.answer(200, "done").await
    })
}

fn echo() -> Backend {
    Backend::start(async |_, socket| {
        socket.send("HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n").await?;
        loop {
            let bytes = socket.some().await?;
            if bytes.is_empty() {
                return socket.close().await;
            }
            socket.send(bytes).await?;
        }
    })
}

#[derive(Default)]
struct Tally {
    stop: Cell<bool>,
    in_flight: Cell<usize>,
    most_in_flight: Cell<usize>,
    requests: Cell<usize>,
    failed: RefCell<Vec<String>>,
    websockets_closed: Cell<usize>,
}

/// The state of the tenant that changes: its routes for requests and WebSockets stay, another comes and goes.
///
/// A death hits a third of a thousand requests at once, every second: far more than the default budget lets be
/// retried.
fn changing(slow: &[SocketAddr], echo: &Backend, n: usize) -> String {
    let slow: Vec<_> = slow.iter().map(|address| format!("{{address: '{address}'}}")).collect();
    format!(
        "domains: [{{host: acme.test}}]\n\
         pools:\n\
         - {{name: web, ejection: {{base: 200ms}}, retry: {{budget_percent: 100}}, backends: [{}]}}\n\
         - {{name: ws, backends: {}}}\n\
         routes:\n\
         - {{name: n{n}, path: {{exact: /n}}, respond: {{body: '{n}'}}}}\n\
         - {{name: ws, path: {{exact: /ws}}, forward: {{pool: ws}}}}\n\
         - {{name: all, forward: {{pool: web}}}}",
        slow.join(", "),
        list(&[echo])
    )
}

#[tokio::test]
async fn nothing_fails_while_everything_changes() {
    may_open_files();
    let any = ([127, 0, 0, 1], 0).into();
    let (a, b, c) = (slow(any), slow(any), slow(any));
    let (mortal, echo) = (c.address(), echo());
    let slow_ones = [a.address(), b.address(), mortal];
    let mut edge = Edge::new().process("reload: {watch: false}");
    edge.set_tenant("acme", &changing(&slow_ones, &echo, 0));
    let quiet = format!(
        "domains: [{{host: quiet.test}}]\npools: [{{name: ws, backends: {}}}]\n\
         routes: [{{name: all, forward: {{pool: ws}}}}]",
        list(&[&echo])
    );
    edge.set_tenant("quiet", &quiet);
    let mut edge = edge.start().await;
    let http = edge.http();

    let local = tokio::task::LocalSet::new();
    let tally = Rc::new(Tally::default());
    local
        .run_until(async {
            let mut tasks = Vec::new();
            for n in 0..WEBSOCKETS {
                let host = if n % 2 == 0 { "acme.test" } else { "quiet.test" };
                tasks.push(tokio::task::spawn_local(keep_talking(http, host, tally.clone())));
            }
            for _ in 0..IN_FLIGHT {
                tasks.push(tokio::task::spawn_local(keep_asking(http, tally.clone())));
            }
            until("all are in flight", || (tally.in_flight.get() == IN_FLIGHT).then_some(())).await;

            let mut c = Some(c);
            for n in 1..=RELOADS {
                edge.set_tenant("acme", &changing(&slow_ones, &echo, n));
                edge.reload().await;
                match n % (RELOADS / KILLS) {
                    3 => c.take().unwrap().kill(),
                    8 => c = Some(slow(mortal)),
                    _ => {}
                }
                tokio::time::sleep(Duration::from_millis(40)).await;
            }
            assert_eq!(edge.get("acme.test", "/n").await.text(), RELOADS.to_string());
            tally.stop.set(true);
            for task in tasks {
                crate::harness::soon("a client ends", task).await.unwrap();
            }
        })
        .await;
    let failed = tally.failed.take();
    println!(
        "storm: requests {} failed {} websockets {WEBSOCKETS} closed {} reloads {RELOADS}",
        tally.requests.get(),
        failed.len(),
        tally.websockets_closed.get()
    );
    assert!(failed.is_empty(), "{:?}", &failed[..failed.len().min(10)]);
    assert_eq!(tally.websockets_closed.get(), 0);
    assert_eq!(tally.most_in_flight.get(), IN_FLIGHT);
    let retries = edge.metric("veloflux_retries_total").await;
    assert!(retries > Some(IN_FLIGHT as f64 / 10.0), "the deaths were felt: {retries:?}");
}

/// Sends one idempotent request after the other on a kept connection.
async fn keep_asking(http: SocketAddr, tally: Rc<Tally>) {
    let mut client = Client::plain(http).await;
    while !tally.stop.get() {
        tally.in_flight.set(tally.in_flight.get() + 1);
        tally.most_in_flight.set(tally.most_in_flight.get().max(tally.in_flight.get()));
        let answer = ask(&mut client).await;
        tally.in_flight.set(tally.in_flight.get() - 1);
        tally.requests.set(tally.requests.get() + 1);
        match answer {
            Ok(response) if response.status == 200 && response.text() == "done" => {}
            other => {
                tally.failed.borrow_mut().push(format!("{other:?}"));
                client = Client::plain(http).await;
            }
        }
    }
}

async fn ask(client: &mut Client) -> io::Result<Response> {
    client.try_send("GET / HTTP/1.1\r\nHost: acme.test\r\n\r\n").await?;
    client.try_response().await
}

/// Says something over a WebSocket again and again, and expects to hear it back.
async fn keep_talking(http: SocketAddr, host: &str, tally: Rc<Tally>) {
    let mut client = Client::plain(http).await;
    client
        .send(format!(
            "GET /ws HTTP/1.1\r\nHost: {host}\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"
        ))
        .await;
    assert_eq!(client.response_head().await.status, 101);
    while !tally.stop.get() {
        if client.try_send("ping").await.is_err()
            || client.try_exactly(4).await.ok().as_deref() != Some(b"ping")
        {
            tally.websockets_closed.set(tally.websockets_closed.get() + 1);
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Each side of each connection takes a descriptor.
fn may_open_files() {
    let pid = std::process::id().to_string();
    let raised = std::process::Command::new("prlimit").args(["--pid", &pid, "--nofile=16384:"]).status();
    assert!(raised.is_ok_and(|status| status.success()), "the limit of open files cannot be raised to 16384");
}
