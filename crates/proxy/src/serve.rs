//! A request's life: the stages in their order. Each takes what the one before it found; the first that refuses
//! ends it, and whatever happens, the request is recorded.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;

use veloflux_model::process::DEFAULT_HTTPS_PORT;
use veloflux_snapshot::headers::CSP_REPORT_PATH;
use veloflux_snapshot::template::Template;
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
use crate::headers;
use crate::limit::{self, Subject};
use crate::mode;
use crate::observe::Observation;
use crate::route::{self, NoSite, Site};
use crate::template;

/// Serves one request.
pub(crate) async fn serve<C: Client>(core: &Core, info: &ConnectionInfo, head: &RequestHead, client: &mut C) {
    let snapshot = core.snapshot();
    let mut observed = Observation::begin(core, info, Some(head), &snapshot);
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
        let clock = answer_clock(observed);
        return own_response(head, client, 200, fields, answer.as_bytes(), &clock, observed).await;
    }
    let entry = route::host(snapshot, &host, info.is_tls(), info.sni.as_deref())?;
    let tenant = &entry.tenant;
    observed.tenant(tenant);
    if let Some(port) = info.redirect {
        return redirect_to_https(port, head, client, observed).await;
    }
    observed.tls_policy(&entry.tls);
    let find = |method| route::route(tenant, &host, route::normal_path(head.path()), method, head);
    let preflight = headers::preflight_method(head)
        .and_then(|method| find(method).ok())
        .filter(|site| site.route.header_policy.cors.is_some());
    let is_preflight = preflight.is_some();
    let found = preflight.map_or_else(|| find(head.method()), Ok);
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

    let path =
        found.as_ref().map_or_else(|_| route::normal_path(head.path()), |site| Cow::Borrowed(&*site.path));
    let is_spared = mode::is_spared(tenant, &path, observed);
    let limits =
        found.as_ref().map_or_else(|_| tenant.limits(is_spared), |site| site.route.limits(is_spared));
    let _places = match limits {
        Some(limits) => {
            let route = found.as_ref().ok().map(|site| &*site.route.name);
            let subject = Subject { head, path: &path, route, client: chain.client };
            Some(limit::admit(core, tenant, limits, &subject, info, client, observed).await?)
        }
        None => None,
    };
    let client_cert = client_cert::verified(info, entry)?;
    if let Some(limits) = tenant.csp_reports.as_ref().filter(|_| headers::is_report(head)) {
        let subject = Subject { head, path: CSP_REPORT_PATH.as_bytes(), route: None, client: chain.client };
        let _places = limit::admit(core, tenant, limits, &subject, info, client, observed).await?;
        let clock = answer_clock(observed);
        headers::take_reports(head, client, &clock, observed).await?;
        return own_response(head, client, 204, Fields::default(), &[], &clock, observed).await;
    }
    if is_preflight {
        // It asks only whether a request may be made; nothing of it goes any further.
        let clock = answer_clock(observed);
        return own_response(head, client, 204, Fields::default(), &[], &clock, observed).await;
    }
    if !is_spared && let Err(mode::Refusal { rejection, page }) = mode::admit(core, tenant, head, observed) {
        let mode::Page { fields, body } = page.ok_or(rejection)?;
        observed.rejected(&rejection, false);
        let clock = answer_clock(observed);
        return own_response(head, client, rejection.status(), fields, &body, &clock, observed).await;
    }
    let site = found?;
    client_cert::admit(site.route, client_cert)?;

    if let BodyLength::Known(n) = head.body
        && n > site.route.max_body_bytes
    {
        return Err(Rejection::BodyTooLarge);
    }
    let mut body = GatheredBody { bytes: Vec::new(), complete: head.body == BodyLength::None };
    if let Some(policy) = site.route.firewall(is_spared) {
        observed.inspected(policy);
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
            fields.push_with(b"Location", |to| template::fill(location, &observed.values(head), to));
            own_response(head, client, *status, fields, &[], &clock(site.route, observed), observed).await
        }
        Action::Respond { status, content_type, body } => {
            let mut fields = Fields::default();
            fields.push(b"Content-Type", content_type.as_bytes());
            own_response(head, client, *status, fields, body, &clock(site.route, observed), observed).await
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
    let snapshot = core.snapshot();
    let mut observed = Observation::begin(core, info, None, &snapshot);
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
    let _ = own_response(head, client, answer.status, fields, answer.body.as_bytes(), &clock, observed).await;
}

/// The deadlines of what the edge answers without anybody else.
fn answer_clock(observed: &Observation<'_>) -> Clock {
    Clock { now: observed.begun, first_byte: ANSWER_TIMEOUT, idle: ANSWER_TIMEOUT, total: None }
}

/// How long a client may take to read such an answer.
const ANSWER_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(10);

/// Sends a response that the edge makes itself.
async fn own_response<C: Client>(
    request: &RequestHead,
    client: &mut C,
    status: u16,
    fields: Fields,
    body: &[u8],
    clock: &Clock,
    observed: &mut Observation<'_>,
) -> Result<(), Rejection> {
    let length = if body.is_empty() { BodyLength::None } else { BodyLength::Known(body.len() as u64) };
    let mut head = ResponseHead { fields, status, body: length, ..ResponseHead::default() };
    let mut added = Fields::default();
    observed.finish_header(request, &mut head.fields, &mut added);
    client.start(&OutgoingResponse { status, head: &head, added: &added, body: length, upgrade: false })?;
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
    observed: &mut Observation<'_>,
) -> Result<(), Rejection> {
    let mut fields = Fields::default();
    let location = match port {
        DEFAULT_HTTPS_PORT => Template::parse("https://{host}{path}{query}"),
        port => Template::parse(&format!("https://{{host}}:{port}{{path}}{{query}}")),
    };
    fields.push_with(b"Location", |to| template::fill(&location, &observed.values(head), to));
    let clock = answer_clock(observed);
    own_response(head, client, 308, fields, &[], &clock, observed).await
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
