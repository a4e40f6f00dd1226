//! A request's life: the stages in their order. Each takes what the one before it found; the first that refuses
//! ends it, and whatever happens, the request is recorded.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;

use veloflux_model::process::DEFAULT_HTTPS_PORT;
use veloflux_snapshot::{Action, FirewallPolicy, OverLimit, Route, Snapshot};
use veloflux_waf::Connection;

use crate::accept::ConnectionInfo;
use crate::access;
use crate::answer::{self, Rejection};
use crate::client_addr;
use crate::client_cert;
use crate::core::Core;
use crate::exchange::{self, Client, Clock, OutgoingResponse};
use crate::firewall::{Inspection, Refusal};
use crate::forward::{Forward, forward};
use crate::h1::parse::HeadError;
use crate::head::{BodyLength, Fields, Known, RequestHead, ResponseHead};
use crate::limit::{self, Subject};
use crate::observe::Observation;
use crate::route::{self, NoSite, Site};

/// Serves one request.
pub(crate) async fn serve<C: Client>(core: &Core, info: &ConnectionInfo, head: &RequestHead, client: &mut C) {
    let snapshot = core.snapshot();
    let mut observed = Observation::begin(core, info, Some(head));
    let mut inspection = Inspection::off();
    *client.pacer() = None;
    if let Err(rejection) = stages(core, &snapshot, info, head, client, &mut inspection, &mut observed).await
    {
        let allow =
            (rejection == Rejection::MethodNotAllowed).then(|| route::allowed_methods(&snapshot, head));
        refuse(head, client, rejection, allow.as_deref(), &mut observed).await;
    }
    observed.finish(inspection.finish(core.number));
}

async fn stages<'s, C: Client>(
    core: &'s Core,
    snapshot: &'s Snapshot,
    info: &ConnectionInfo,
    head: &'s RequestHead,
    client: &mut C,
    inspection: &mut Inspection<'s>,
    observed: &mut Observation<'s>,
) -> Result<(), Rejection> {
    let host =
        route::host_name(head.authority()).ok_or(Rejection::BadRequest("the request names no host"))?;
    if let Some(answer) = challenge_answer(core, info, &host, head) {
        let mut fields = Fields::default();
        fields.push(b"Content-Type", b"application/octet-stream");
        return own_response(client, 200, fields, answer.as_bytes(), &answer_clock(observed), observed).await;
    }
    let entry = route::host(snapshot, &host, info.is_tls(), info.sni.as_deref())?;
    let tenant = &entry.tenant;
    observed.tenant(tenant);
    if let Some(port) = info.redirect {
        return redirect_to_https(port, head, client, &host, observed).await;
    }
    observed.hsts(&entry.tls);
    let found = route::route(tenant, &host, route::normal_path(head.path()), head);
    if let Ok(site) = &found {
        observed.route(site.route);
    }

    let chain = client_addr::walk(
        &core.config.trusted_proxies,
        info.peer.ip(),
        head.fields.values(Known::XForwardedFor),
        head.fields.values(Known::Forwarded),
    );
    observed.client(chain.client);
    let rules = found.as_ref().map_or(&tenant.access, |site| &site.route.access);
    access::judge(snapshot, rules, observed)?;

    let limits = found.as_ref().map_or(&tenant.limits, |site| &site.route.limits);
    let _places = match limits {
        Some(limits) => {
            let path = found
                .as_ref()
                .map_or_else(|_| route::normal_path(head.path()), |site| Cow::Borrowed(&*site.path));
            let route = found.as_ref().ok().map(|site| &*site.route.name);
            let subject = Subject { head, path: &path, route, client: chain.client };
            Some(limit::admit(core, tenant, limits, &subject, info, client, observed).await?)
        }
        None => None,
    };
    let client_cert = client_cert::verified(info, entry)?;
    let site = found?;
    client_cert::admit(site.route, client_cert)?;

    if let BodyLength::Known(n) = head.body
        && n > site.route.max_body_bytes
    {
        return Err(Rejection::BodyTooLarge);
    }
    let mut body = GatheredBody { bytes: Vec::new(), complete: head.body == BodyLength::None };
    if let Some(policy) = &site.route.firewall {
        inspect(policy, &site, info, head, client, inspection, &mut body, observed).await?;
    }

    match &site.route.action {
        // A tunnel to anywhere is a forward proxy's business (RFC 9110 section 9.3.6).
        _ if head.method() == b"CONNECT" => Err(Rejection::MethodNotAllowed),
        Action::Forward { pool, strip_prefix } => {
            let what = Forward {
                site: &site,
                pool,
                strip_prefix: strip_prefix.as_deref(),
                host: &host,
                chain: &chain,
                client_cert: client_cert.zip(entry.tls.client_auth.as_ref().map(|asked| asked.forward)),
                gathered: &body.bytes,
                complete: body.complete,
            };
            forward(core, info, head, client, &what, inspection, observed).await
        }
        Action::Redirect { status, location } => {
            let mut fields = Fields::default();
            fields.push(b"Location", &fill_location(location, &host, &site.path, head));
            own_response(client, *status, fields, &[], &clock(site.route, observed), observed).await
        }
        Action::Respond { status, content_type, body } => {
            let mut fields = Fields::default();
            fields.push(b"Content-Type", content_type.as_bytes());
            own_response(client, *status, fields, body, &clock(site.route, observed), observed).await
        }
    }
}

/// The answer to an authority that has a domain proved (RFC 8555 section 8.3), on plain listeners and before any tenant:
/// it is there for the tokens of orders under way, and for no other request.
fn challenge_answer(core: &Core, info: &ConnectionInfo, host: &str, head: &RequestHead) -> Option<Arc<str>> {
    let token = head.path().strip_prefix(b"/.well-known/acme-challenge/")?;
    if info.is_tls() || head.has_query || !matches!(head.method(), b"GET" | b"HEAD") {
        return None;
    }
    core.config.managed.http_answer(host, std::str::from_utf8(token).ok()?)
}

/// What the firewall has taken off the client's connection.
struct GatheredBody {
    bytes: Vec<u8>,
    /// Whether that is the whole body.
    complete: bool,
}

/// The firewall's stage before forwarding: head, then as much of the body as the policy looks at.
#[expect(clippy::too_many_arguments, reason = "a stage's inputs, each used once")]
async fn inspect<'s, C: Client>(
    policy: &'s FirewallPolicy,
    site: &Site<'s>,
    info: &ConnectionInfo,
    head: &RequestHead,
    client: &mut C,
    inspection: &mut Inspection<'s>,
    body: &mut GatheredBody,
    observed: &mut Observation<'_>,
) -> Result<(), Rejection> {
    let connection = Connection {
        client: SocketAddr::new(observed.client_ip(), info.peer.port()),
        server: info.local,
        request_id: observed.request_id(),
        now_unix_us: observed.unix_us,
    };
    inspection.request_head(policy, &site.tenant.state.collections, &connection, head)?;
    if !body.complete && inspection.wants_request_body() {
        let limit = policy.body_limit_bytes;
        let reject = policy.over_limit == OverLimit::Reject;
        if reject && matches!(head.body, BodyLength::Known(n) if n > limit as u64) {
            return Err(Rejection::BodyTooLarge);
        }
        let clock = clock(site.route, observed);
        body.complete = exchange::gather(client, &mut body.bytes, limit, &clock).await?;
        observed.bytes_in = body.bytes.len() as u64;
        if reject && !body.complete {
            return Err(Rejection::BodyTooLarge);
        }
    }
    inspection.request_body(&body.bytes, body.complete)?;
    Ok(())
}

fn clock(route: &Route, observed: &Observation<'_>) -> Clock {
    Clock {
        now: observed.begun,
        first_byte: route.timeouts.first_byte,
        idle: route.timeouts.idle,
        total: Some(observed.begun + route.timeouts.total),
    }
}

/// Answers a request whose head could not be read. There is no tenant to hold responsible.
pub(crate) async fn refuse_head<C: Client>(
    core: &Core,
    info: &ConnectionInfo,
    error: HeadError,
    client: &mut C,
) {
    let mut observed = Observation::begin(core, info, None);
    let rejection = match error {
        HeadError::Malformed(why) => Rejection::BadRequest(why),
        HeadError::Version => Rejection::UnsupportedVersion,
        HeadError::TransferCoding => Rejection::UnsupportedTransferCoding,
        HeadError::TargetTooLong => Rejection::UriTooLong,
        HeadError::TooLarge => Rejection::HeaderTooLarge,
        HeadError::Expectation => Rejection::ExpectationFailed,
        HeadError::Timeout => Rejection::RequestTimeout,
    };
    refuse(&RequestHead::default(), client, rejection, None, &mut observed).await;
    observed.finish(None);
}

/// Turns a rejection into an answer, or, where an answer has begun, into a visible break.
async fn refuse<C: Client>(
    head: &RequestHead,
    client: &mut C,
    rejection: Rejection,
    allow: Option<&str>,
    observed: &mut Observation<'_>,
) {
    observed.rejected(&rejection, client.started());
    if client.started() || rejection == Rejection::ClientGone {
        client.abort();
        return;
    }
    let answer = answer::render(&rejection, head.fields.values(Known::Accept), observed.request_id());
    let mut fields = Fields::default();
    if rejection.closes_connection() {
        client.close_after();
    }
    for (name, value) in &answer.headers {
        fields.push(name.as_bytes(), value.as_bytes());
    }
    if let Some(allow) = allow {
        fields.push(b"Allow", allow.as_bytes());
    }
    let clock = answer_clock(observed);
    // A client that does not take its refusal is no further concern.
    let _ = own_response(client, answer.status, fields, answer.body.as_bytes(), &clock, observed).await;
}

/// How long a client may take to read a refusal.
const ANSWER_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(10);

/// The clock of an answer that belongs to no route.
fn answer_clock(observed: &Observation<'_>) -> Clock {
    Clock { now: observed.begun, first_byte: ANSWER_TIMEOUT, idle: ANSWER_TIMEOUT, total: None }
}

/// Sends a response that the edge makes itself.
async fn own_response<C: Client>(
    client: &mut C,
    status: u16,
    mut fields: Fields,
    body: &[u8],
    clock: &Clock,
    observed: &mut Observation<'_>,
) -> Result<(), Rejection> {
    if fields.iter().all(|(known, ..)| known != Known::XRequestId) {
        fields.push(b"X-Request-Id", observed.request_id().as_bytes());
    }
    observed.tell_quota(&mut fields);
    let length = if body.is_empty() { BodyLength::None } else { BodyLength::Known(body.len() as u64) };
    let head = ResponseHead { status, body: length, ..ResponseHead::default() };
    client.start(&OutgoingResponse {
        status,
        head: &head,
        added: &fields,
        hsts: observed.hsts_value(),
        body: length,
        upgrade: false,
    })?;
    observed.status = status;
    exchange::send_all(client, body, clock).await?;
    exchange::end(client, clock).await?;
    observed.bytes_out += body.len() as u64;
    Ok(())
}

/// The plain listener's only answer. The host is one of a tenant's names, so the redirect leads nowhere else.
async fn redirect_to_https<C: Client>(
    port: u16,
    head: &RequestHead,
    client: &mut C,
    host: &str,
    observed: &mut Observation<'_>,
) -> Result<(), Rejection> {
    let mut fields = Fields::default();
    let template = match port {
        DEFAULT_HTTPS_PORT => "https://{host}{path}{query}".to_owned(),
        port => format!("https://{{host}}:{port}{{path}}{{query}}"),
    };
    fields.push(b"Location", &fill_location(&template, host, head.path(), head));
    own_response(client, 308, fields, &[], &answer_clock(observed), observed).await
}

/// Fills a Location template. What comes from the request is visible ASCII or above, as the head reader has
/// checked, so it cannot end the header line.
fn fill_location(template: &str, host: &str, path: &[u8], head: &RequestHead) -> Vec<u8> {
    let mut location = Vec::with_capacity(template.len() + path.len() + head.query().len());
    let mut rest = template;
    while let Some(open) = rest.find('{') {
        location.extend_from_slice(&rest.as_bytes()[..open]);
        rest = &rest[open..];
        let close = rest.find('}').map_or(rest.len(), |at| at + 1);
        match &rest[..close] {
            "{host}" => location.extend_from_slice(host.as_bytes()),
            "{path}" => location.extend_from_slice(path),
            "{query}" => {
                if head.has_query {
                    location.push(b'?');
                    location.extend_from_slice(head.query());
                }
            }
            other => location.extend_from_slice(other.as_bytes()),
        }
        rest = &rest[close..];
    }
    location.extend_from_slice(rest.as_bytes());
    location
}

impl From<NoSite> for Rejection {
    fn from(error: NoSite) -> Self {
        match error {
            NoSite::UnknownHost => Self::UnknownHost,
            NoSite::Misdirected => Self::MisdirectedRequest,
            NoSite::NoRoute => Self::NoRoute,
            NoSite::MethodNotAllowed => Self::MethodNotAllowed,
        }
    }
}

impl From<Refusal> for Rejection {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Judged(status) => Self::Blocked { status },
            Refusal::Internal => Self::Internal,
            Refusal::Undecodable => Self::Undecodable,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn location_templates_are_filled() {
        let mut head = RequestHead::default();
        head.query = head.fields.store(b"a=1");
        head.has_query = true;
        let fill = |template| String::from_utf8(fill_location(template, "x.test", b"/p", &head)).unwrap();
        assert_eq!(fill("https://{host}{path}{query}"), "https://x.test/p?a=1");
        assert_eq!(fill("/fixed"), "/fixed");
        assert_eq!(fill("/{other}/{host"), "/{other}/{host");
    }
}
