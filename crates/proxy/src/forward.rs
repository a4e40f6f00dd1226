//! The forwarding stage: picks a backend, speaks to it, tries another where that is safe, and passes the response.

use std::borrow::Cow;
use std::sync::Arc;

use http::Method;
use veloflux_model::desired::ForwardClientCert;
use veloflux_snapshot::{BackendProtocol, Pool, Route};

use crate::accept::ConnectionInfo;
use crate::answer::Rejection;
use crate::balance::{self, InFlight, PickRequest, Tried};
use crate::client_addr::{Chain, Inbound, forwarding};
use crate::client_cert::ClientCertificate;
use crate::core::Core;
use crate::eject;
use crate::exchange::{self, BackendError, Client, ClientError, Clock, Failure, OutgoingResponse, Upload};
use crate::firewall::Inspection;
use crate::head::{BodyLength, Fields, Known, RequestHead, ResponseHead};
use crate::observe::Observation;
use crate::retry::{self, Attempt, Budget};
use crate::route::{Site, after_prefix};
use crate::scratch::Scratch;
use crate::sticky;
use crate::template;
use crate::upstream::h1::tunnel;
use crate::upstream::{OutgoingRequest, Upstream};

/// What is forwarded, besides the head.
pub(crate) struct Forward<'a> {
    pub(crate) site: &'a Site<'a>,
    pub(crate) pool: &'a Arc<Pool>,
    pub(crate) strip_prefix: Option<&'a str>,
    pub(crate) host: &'a str,
    pub(crate) chain: &'a Chain,
    /// The client's verified certificate, and what the backend is told of it.
    pub(crate) client_cert: Option<(&'a ClientCertificate, ForwardClientCert)>,
    /// Body bytes that the firewall has gathered.
    pub(crate) gathered: &'a [u8],
    /// Whether they are the whole body.
    pub(crate) complete: bool,
}

/// Forwards a request and passes its response on.
pub(crate) async fn forward<C: Client>(
    core: &Core,
    info: &ConnectionInfo,
    head: &RequestHead,
    client: &mut C,
    what: &Forward<'_>,
    inspection: &mut Inspection<'_>,
    observed: &mut Observation<'_>,
) -> Result<(), Rejection> {
    let route = what.site.route;
    let upgrading =
        head.wants_upgrade() && what.pool.protocol == BackendProtocol::Http1 && client.http1().is_some();
    let body = match head.body {
        _ if what.complete && what.gathered.is_empty() => BodyLength::None,
        _ if what.complete => BodyLength::Known(what.gathered.len() as u64),
        length => length,
    };
    let mut scratch = core.scratches.take();
    let Scratch { request_fields, response, response_fields } = &mut *scratch;
    add_forwarding(core, info, head, what, observed, request_fields);
    let rules = &route.header_policy.request;
    template::write_fields(rules, &observed.values(head), request_fields);
    let request = OutgoingRequest {
        head,
        target: target(head, what),
        host: head.authority(),
        added: request_fields,
        rules,
        body,
        upgrading,
    };
    // Without a body to wait for, nothing has waited since the request began.
    let now = if what.gathered.is_empty() { core.recent() } else { core.now() };
    let mut clock = Clock {
        now,
        first_byte: route.timeouts.first_byte,
        idle: route.timeouts.idle,
        total: Some(observed.begun + route.timeouts.total),
    };

    let mut reached = reach(core, client, what, &request, &clock, response, observed).await?;
    // A response that is slowed down takes the time that it takes.
    if upgrading || is_stream(response) || client.pacer().is_some() {
        clock.total = None;
    }

    inspection.response_head(response).map_err(Rejection::from)?;
    let mut gathered = Vec::new();
    let mut ended = false;
    if response.status != 101
        && let Some(limit) = inspection.wants_response_body()
        && !is_stream(response)
    {
        ended = exchange::gather_response(client, &mut reached.upstream, &mut gathered, limit, &clock)
            .await
            .map_err(|f| reached.failed(core, what.pool, f))?;
    }
    inspection.response_body(response, &gathered, ended).map_err(Rejection::from)?;

    observed.finish_header(head, &mut response.fields, response_fields);
    if let Some(cookie) = reached.cookie.take() {
        response_fields.push(b"Set-Cookie", cookie.as_bytes());
    }
    let upgraded = response.status == 101 && upgrading;
    if response.status == 101 && !upgrading {
        return Err(Rejection::BackendFailed);
    }
    client.start(&OutgoingResponse {
        status: response.status,
        head: response,
        added: response_fields,
        body: response.body,
        upgrade: upgraded,
    })?;
    observed.status = response.status;
    if upgraded {
        return upgrade(client, reached, route, observed).await;
    }

    if !gathered.is_empty() {
        exchange::send_all(client, &gathered, &clock).await?;
        observed.bytes_out += gathered.len() as u64;
    }
    let passed = &mut observed.bytes_out;
    let outcome = exchange::respond(client, &mut reached.upstream, &mut reached.upload, &clock, passed).await;
    observed.bytes_in = reached.upload.sent();
    match outcome {
        Ok(()) => {
            core.upstreams.put(
                what.pool,
                &what.pool.backends[reached.index],
                reached.upstream,
                core.recent(),
            );
            core.scratches.give(scratch);
            Ok(())
        }
        Err(failure) => Err(reached.failed(core, what.pool, failure)),
    }
}

/// A backend that has answered.
struct Reached<'a> {
    index: usize,
    upstream: Upstream,
    upload: Upload<'a>,
    cookie: Option<String>,
    in_flight: InFlight,
}

impl Reached<'_> {
    /// The exchange broke after the response head: the backend's fault is held against it.
    fn failed(&self, core: &Core, pool: &Pool, failure: Failure) -> Rejection {
        if matches!(failure, Failure::Backend(_)) {
            eject::on_failure(pool, self.index, core.now_ms(core.now()));
        }
        rejection(failure)
    }
}

/// Tries backends until one answers.
async fn reach<'a, C: Client>(
    core: &Core,
    client: &mut C,
    what: &'a Forward<'_>,
    request: &OutgoingRequest<'_>,
    clock: &Clock,
    response: &mut ResponseHead,
    observed: &mut Observation<'_>,
) -> Result<Reached<'a>, Rejection> {
    let pool = what.pool;
    let route = what.site.route;
    let budget = Budget::of(&pool.state, &pool.retry);
    let now_s = observed.unix_us / 1_000_000;
    let cookies = request.head.fields.values(Known::Cookie);
    let bound =
        pool.sticky.as_ref().and_then(|_| sticky::parse(&core.config.cookie_key, pool, cookies, now_s));
    let careful = !matches!(request.head.method(), b"GET" | b"HEAD");
    let mut tried = Tried::default();
    let mut retries = 0;
    let mut fresh = false;
    budget.count_request(core.now_ms(observed.begun));
    loop {
        let now = if retries == 0 && !fresh { clock.now } else { core.now() };
        let now_ms = core.now_ms(now);
        let pick = PickRequest {
            client_hash: observed.client_hash(),
            country: observed.known_origin().country,
            sticky: bound,
            tried: &tried,
            now_ms,
        };
        let index = balance::pick(pool, &pick, &mut core.rng.borrow_mut()).ok_or(Rejection::NoBackend)?;
        let target = &pool.backends[index];
        observed.asked(target, now);
        let in_flight = InFlight::begin(&target.state);
        let mut upload = Upload::new(
            what.gathered,
            what.complete || request.body == BodyLength::None,
            route.max_body_bytes,
        );
        let attempt = async {
            let mut upstream =
                core.upstreams.get(pool, target, fresh, careful, route.timeouts.connect).await?;
            upstream.start(request, pool.tls.is_some())?;
            exchange::request(client, &mut upstream, &mut upload, response, clock).await?;
            Ok(upstream)
        };
        let failure = match attempt.await {
            Ok(upstream) => {
                let answered = core.now();
                observed.answered(answered);
                in_flight.record_latency(answered - now, core.now_ms(answered));
                if matches!(response.status, 502..=504) {
                    eject::on_failure(pool, index, core.now_ms(answered));
                } else if let Some(policy) = &pool.ejection {
                    eject::on_success(policy, &target.state, core.now_ms(answered));
                }
                let cookie = (pool.sticky.is_some() && bound != Some(index))
                    .then(|| {
                        sticky::set_cookie(&core.config.cookie_key, pool, index, now_s, observed.is_tls())
                    })
                    .flatten();
                return Ok(Reached { index, upstream, upload, cookie, in_flight });
            }
            Err(Failure::Backend(failure)) => failure,
            Err(failure) => return Err(rejection(failure)),
        };
        let stale = failure == BackendError::Stale;
        if !stale {
            eject::on_failure(pool, index, now_ms);
        }
        let Ok(method) = Method::from_bytes(request.head.method()) else {
            return Err(rejection(failure.into()));
        };
        let attempt = Attempt {
            method: &method,
            body: if upload.is_replayable() { retry::Body::Replayable } else { retry::Body::Spent },
            sent: !matches!(
                failure,
                BackendError::Connect | BackendError::ConnectTimeout | BackendError::Tls
            ),
            response_begun: client.started(),
            failure: kind(failure),
            // A kept connection that had been closed says nothing about the backend: it is not counted, and
            // cannot come twice, since the next attempt opens a new connection.
            retries: if stale && !fresh { 0 } else { retries },
        };
        let allowed = retry::may_retry(&pool.retry, &attempt)
            && ((stale && !fresh) || budget.take(core.now_ms(core.now())));
        if !allowed {
            return Err(rejection(failure.into()));
        }
        if stale && !fresh {
            fresh = true;
        } else {
            tried.insert(index);
            retries += 1;
            observed.retried();
        }
    }
}

fn kind(failure: BackendError) -> retry::Failure {
    match failure {
        BackendError::Connect | BackendError::ConnectTimeout | BackendError::Tls => retry::Failure::Connect,
        BackendError::Refused => retry::Failure::NotProcessed,
        BackendError::Stale | BackendError::Broken => retry::Failure::Closed,
        BackendError::FirstByteTimeout | BackendError::Timeout => retry::Failure::FirstByteTimeout,
        BackendError::Malformed(_) => retry::Failure::BadResponse,
    }
}

/// What a failure means for the client, if it can still be told.
pub(crate) fn rejection(failure: Failure) -> Rejection {
    match failure {
        Failure::Client(error) => error.into(),
        Failure::Backend(
            BackendError::ConnectTimeout | BackendError::FirstByteTimeout | BackendError::Timeout,
        ) => Rejection::BackendTimeout,
        Failure::Backend(_) => Rejection::BackendFailed,
    }
}

/// Leaves HTTP: bytes pass both ways until both sides have ended.
async fn upgrade<C: Client>(
    client: &mut C,
    mut reached: Reached<'_>,
    route: &Route,
    observed: &mut Observation<'_>,
) -> Result<(), Rejection> {
    let (Some(client), Upstream::Http1(backend)) = (client.http1(), &mut reached.upstream) else {
        return Err(Rejection::BackendFailed);
    };
    let mut passed = (0, 0);
    tunnel(client.tunnel_parts(), backend.tunnel_parts(), route.timeouts.idle, &mut passed).await;
    observed.bytes_in += passed.0;
    observed.bytes_out += passed.1;
    drop(reached.in_flight);
    Ok(())
}

/// Responses that never end by themselves, whose bytes must not wait for more.
fn is_stream(response: &ResponseHead) -> bool {
    response.fields.first(Known::ContentType).is_some_and(|value| {
        let essence = value.split(|&b| b == b';').next().unwrap_or_default().trim_ascii();
        essence.eq_ignore_ascii_case(b"text/event-stream")
            || essence.get(..16).is_some_and(|t| t.eq_ignore_ascii_case(b"application/grpc"))
    })
}

/// The request target for the backend: as the client wrote it, unless a prefix is stripped.
fn target<'a>(head: &'a RequestHead, what: &Forward<'_>) -> Cow<'a, [u8]> {
    let path: Cow<'a, [u8]> = match what.strip_prefix {
        Some(prefix) => {
            let rest = after_prefix(prefix.as_bytes(), &what.site.path).unwrap_or(&what.site.path);
            Cow::Owned(if rest.is_empty() { b"/".to_vec() } else { rest.to_vec() })
        }
        // Origin form goes out byte for byte.
        None if head.target().first() == Some(&b'/') || head.target() == b"*" => {
            return Cow::Borrowed(head.target());
        }
        None if head.path().is_empty() => Cow::Borrowed(b"/"),
        None => Cow::Borrowed(head.path()),
    };
    if !head.has_query {
        return path;
    }
    let mut target = path.into_owned();
    target.push(b'?');
    target.extend_from_slice(head.query());
    Cow::Owned(target)
}

/// What the backend is told of the client. Whatever of this the client sent itself was dropped.
fn add_forwarding(
    core: &Core,
    info: &ConnectionInfo,
    head: &RequestHead,
    what: &Forward<'_>,
    observed: &Observation<'_>,
    added: &mut Fields,
) {
    let trusted = core.config.trusted_proxies.contains(info.peer.ip());
    let reported = |known| head.fields.first(known).filter(|_| trusted);
    let client: Cow<'_, str> = if what.chain.proxies.is_empty() {
        Cow::Borrowed(&info.peer_text)
    } else {
        Cow::Owned(what.chain.client.to_string())
    };
    let fields = forwarding(&Inbound {
        chain: what.chain,
        client: &client,
        tls: info.is_tls(),
        host: what.host,
        x_forwarded_proto: reported(Known::XForwardedProto),
        x_forwarded_host: reported(Known::XForwardedHost),
    });
    added.push(b"X-Forwarded-For", fields.x_forwarded_for.as_bytes());
    added.push(b"X-Forwarded-Proto", fields.x_forwarded_proto.as_bytes());
    added.push(b"X-Forwarded-Host", fields.x_forwarded_host.as_bytes());
    added.push(b"X-Real-IP", client.as_bytes());
    added.push(b"X-Request-Id", observed.request_id().as_bytes());
    if let Some((shown, how)) = what.client_cert {
        shown.forward(how, added);
    }
}

impl From<ClientError> for Rejection {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Gone => Self::ClientGone,
            ClientError::Malformed(why) => Self::BadRequest(why),
            ClientError::Timeout => Self::RequestTimeout,
            ClientError::BodyTooLarge => Self::BodyTooLarge,
        }
    }
}
