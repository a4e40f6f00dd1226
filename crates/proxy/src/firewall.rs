//! The firewall stage: walks one request through its transaction.
//!
//! The transaction itself is a typestate ([`veloflux_waf::Transaction`]); here its current state is kept in one
//! place that outlives every early return, so that whatever happens to the request, [`Inspection::finish`] gives a
//! record of it.

use std::time::Duration;

use tokio::time::Instant;
use veloflux_snapshot::FirewallPolicy;
use veloflux_waf::collections::TenantCollections;
use veloflux_waf::{Cause, Connection, Mode, Record, Refused, Transaction, Verdict, stage};

use crate::decode::{Decoded, decode};
use crate::head::{Fields, RequestHead, ResponseHead};
use crate::record::WafVerdict;

/// The firewall refuses: what the client is to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Of the request or response itself, with this status.
    Judged(u16),
    /// The engine failed.
    Internal,
    /// The response's body cannot be decoded, and so not be looked at.
    Undecodable,
}

/// The firewall's view of one request.
#[derive(Debug)]
pub(crate) struct Inspection<'p> {
    policy: Option<&'p FirewallPolicy>,
    state: State<'p>,
    spent: Duration,
    /// What became of a response whose body could not be decoded.
    undecodable: Option<WafVerdict>,
}

#[derive(Debug)]
enum State<'p> {
    Off,
    RequestBody(Transaction<'p, stage::RequestBody>),
    ResponseHead(Transaction<'p, stage::ResponseHead>),
    ResponseBody(Transaction<'p, stage::ResponseBody>),
    Finished(Transaction<'p, stage::Finished>),
    Refused(Refused<'p>),
}

/// What the firewall did with a request.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) record: Record,
    /// Time spent judging, gathering bodies not included.
    pub(crate) spent: Duration,
    /// What became of a response whose body could not be decoded.
    pub(crate) undecodable: Option<WafVerdict>,
}

impl<'p> Inspection<'p> {
    /// No firewall on this route.
    pub(crate) fn off() -> Self {
        Self { policy: None, state: State::Off, spent: Duration::ZERO, undecodable: None }
    }

    /// Begins a transaction and judges the request head. `collections` are the tenant's.
    pub(crate) fn request_head(
        &mut self,
        policy: &'p FirewallPolicy,
        collections: &'p TenantCollections,
        connection: &Connection<'_>,
        head: &RequestHead,
    ) -> Result<(), Refusal> {
        let begun = Instant::now();
        let transaction =
            Transaction::begin(&policy.ruleset, &policy.overlay, connection).with_collections(collections);
        let headers = pairs(&head.fields);
        let verdict = transaction.request_head(&veloflux_waf::RequestHead {
            method: head.method(),
            target: head.target(),
            protocol: head.version.as_str().as_bytes(),
            headers: &headers,
        });
        self.policy = Some(policy);
        self.settle(begun, verdict, State::RequestBody)
    }

    /// Whether the request's body is to be gathered for [`request_body`](Self::request_body).
    pub(crate) fn wants_request_body(&self) -> bool {
        matches!(&self.state, State::RequestBody(transaction) if transaction.body_wanted())
    }

    /// Judges the request's body; without one, everything else that can be judged before forwarding.
    pub(crate) fn request_body(&mut self, body: &[u8], complete: bool) -> Result<(), Refusal> {
        let begun = Instant::now();
        match std::mem::replace(&mut self.state, State::Off) {
            State::RequestBody(transaction) => {
                self.settle(begun, transaction.request_body(body, complete), State::ResponseHead)
            }
            // The firewall is off here, or has said all it had to say.
            other => {
                self.state = other;
                Ok(())
            }
        }
    }

    /// Judges the response's head.
    pub(crate) fn response_head(&mut self, head: &ResponseHead) -> Result<(), Refusal> {
        let begun = Instant::now();
        match std::mem::replace(&mut self.state, State::Off) {
            State::ResponseHead(transaction) => {
                // The rules see the response as it is once decoded: those of the CRS do not look into coded bodies.
                let mut headers = pairs(&head.fields);
                headers.retain(|(name, _)| !is_content_encoding(name));
                let verdict = transaction.response_head(&veloflux_waf::ResponseHead {
                    status: head.status,
                    protocol: head.version.as_str().as_bytes(),
                    headers: &headers,
                });
                self.settle(begun, verdict, State::ResponseBody)
            }
            // The firewall is off here, or has said all it had to say.
            other => {
                self.state = other;
                Ok(())
            }
        }
    }

    /// How many response-body bytes are to be gathered for [`response_body`](Self::response_body); `None`: the
    /// body passes unseen.
    pub(crate) fn wants_response_body(&self) -> Option<usize> {
        match &self.state {
            State::ResponseBody(transaction) if transaction.body_wanted() => {
                self.policy.map(|policy| policy.response_limit_bytes)
            }
            _ => None,
        }
    }

    /// Judges the response's body: the one that `head` announced, of which `body` was gathered.
    ///
    /// A body that cannot be decoded is withheld where the policy blocks: whoever asks for it chooses the coding, and
    /// would choose one that is not looked into. Where it only detects, the body passes and counts.
    pub(crate) fn response_body(
        &mut self,
        head: &ResponseHead,
        body: &[u8],
        complete: bool,
    ) -> Result<(), Refusal> {
        let begun = Instant::now();
        match std::mem::replace(&mut self.state, State::Off) {
            State::ResponseBody(transaction) => {
                let limit = self.policy.map_or(0, |policy| policy.response_limit_bytes);
                let codings = head.fields.iter().filter(|(_, name, _)| is_content_encoding(name));
                let decoded = match body {
                    [] => Ok(Decoded { bytes: body.into(), complete }),
                    _ => decode(codings.map(|(_, _, value)| value), body, complete, limit),
                };
                let Ok(decoded) = decoded else {
                    if self.policy.is_some_and(|policy| policy.overlay.mode() == Mode::Detect) {
                        self.undecodable = Some(WafVerdict::Detected);
                        return self.settle(begun, transaction.response_body(b"", false), State::Finished);
                    }
                    self.undecodable = Some(WafVerdict::Blocked);
                    self.state = State::ResponseBody(transaction);
                    self.spent += begun.elapsed();
                    return Err(Refusal::Undecodable);
                };
                let verdict = transaction.response_body(&decoded.bytes, decoded.complete);
                self.settle(begun, verdict, State::Finished)
            }
            // The firewall is off here, or has said all it had to say.
            other => {
                self.state = other;
                Ok(())
            }
        }
    }

    /// Ends the transaction wherever it stands, and adds what it cost to what its rules cost; `thread` is the number
    /// of the calling one.
    pub(crate) fn finish(self, thread: usize) -> Option<Outcome> {
        let begun = Instant::now();
        let record = match self.state {
            State::Off => return None,
            State::RequestBody(transaction) => transaction.finish(),
            State::ResponseHead(transaction) => transaction.finish(),
            State::ResponseBody(transaction) => transaction.finish(),
            State::Finished(transaction) => transaction.finish(),
            State::Refused(refused) => refused.finish(),
        };
        if let Some(policy) = self.policy {
            policy.ruleset.count_work(thread, &record.work);
        }
        Some(Outcome { record, spent: self.spent + begun.elapsed(), undecodable: self.undecodable })
    }

    fn settle<N>(
        &mut self,
        begun: Instant,
        verdict: Verdict<'p, N>,
        next: impl FnOnce(Transaction<'p, N>) -> State<'p>,
    ) -> Result<(), Refusal> {
        self.spent += begun.elapsed();
        match verdict {
            Verdict::Pass(transaction) => {
                self.state = next(transaction);
                Ok(())
            }
            Verdict::Refuse(refused) => {
                let refusal = match refused.cause() {
                    Cause::Internal(_) => Refusal::Internal,
                    Cause::Rule(_) | Cause::Budget => Refusal::Judged(refused.status()),
                };
                self.state = State::Refused(refused);
                Err(refusal)
            }
        }
    }
}

fn is_content_encoding(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"content-encoding")
}

fn pairs(fields: &Fields) -> Vec<(&[u8], &[u8])> {
    fields.iter().map(|(_, name, value)| (name, value)).collect()
}
