//! What the integration tests share: small rule sets, and requests sent through them.

use veloflux_waf::{
    CompileErrors, Connection, Levels, MemFiles, Mode, Overlay, OverlaySettings, Record, RequestHead,
    ResponseHead, Ruleset, Source, Transaction, Verdict,
};

/// A request, by default `GET /` without headers or body, and its response, by default an empty 200.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) body_complete: bool,
    pub(crate) response_headers: Vec<(String, String)>,
    pub(crate) response_body: Vec<u8>,
}

/// What came of a request.
#[derive(Debug)]
pub(crate) struct Seen {
    /// The refusal's status, 0 if it passed.
    pub(crate) status: u16,
    pub(crate) record: Record,
}

impl Seen {
    /// Ids of the recorded matches, in order.
    pub(crate) fn ids(&self) -> Vec<u32> {
        self.record.matches.iter().map(|found| found.rule_id).collect()
    }
}

impl Request {
    pub(crate) fn get(target: &str) -> Self {
        Self {
            method: "GET".to_owned(),
            target: target.to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
            body_complete: true,
            response_headers: Vec::new(),
            response_body: Vec::new(),
        }
    }

    pub(crate) fn post(content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        let request = Self { method: "POST".to_owned(), body: body.into(), ..Self::get("/") };
        request.header("Content-Type", content_type)
    }

    #[must_use]
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    #[must_use]
    pub(crate) fn answered(mut self, content_type: &str, body: &str) -> Self {
        self.response_headers.push(("Content-Type".to_owned(), content_type.to_owned()));
        body.as_bytes().clone_into(&mut self.response_body);
        self
    }

    /// Sends it through `ruleset` under `overlay`.
    pub(crate) fn through(&self, ruleset: &Ruleset, overlay: &Overlay) -> Seen {
        let bytes = |headers: &[(String, String)]| {
            headers
                .iter()
                .map(|(name, value)| (name.clone().into_bytes(), value.clone().into_bytes()))
                .collect()
        };
        let owned: (Vec<_>, Vec<_>) = (bytes(&self.headers), bytes(&self.response_headers));
        let headers: Vec<(&[u8], &[u8])> =
            owned.0.iter().map(|(name, value)| (&name[..], &value[..])).collect();
        let response: Vec<(&[u8], &[u8])> =
            owned.1.iter().map(|(name, value)| (&name[..], &value[..])).collect();
        let connection = Connection {
            client: ([192, 0, 2, 7], 40_000).into(),
            server: ([198, 51, 100, 1], 443).into(),
            request_id: "request-1",
            now_unix_us: 951_827_696_000_000,
        };
        macro_rules! pass {
            ($verdict:expr) => {
                match $verdict {
                    Verdict::Pass(transaction) => transaction,
                    Verdict::Refuse(refused) => {
                        return Seen { status: refused.status(), record: refused.finish() };
                    }
                }
            };
        }
        let transaction = Transaction::begin(ruleset, overlay, &connection);
        let transaction = pass!(transaction.request_head(&RequestHead {
            method: self.method.as_bytes(),
            target: self.target.as_bytes(),
            protocol: b"HTTP/1.1",
            headers: &headers,
        }));
        let transaction = pass!(transaction.request_body(&self.body, self.body_complete));
        let head = ResponseHead { status: 200, protocol: b"HTTP/1.1", headers: &response };
        let transaction = pass!(transaction.response_head(&head));
        let body = if transaction.body_wanted() { &self.response_body[..] } else { &[] };
        let transaction = pass!(transaction.response_body(body, true));
        Seen { status: 0, record: transaction.finish() }
    }

    /// Sends it through the rules `text`, which must compile, in blocking mode.
    pub(crate) fn against(&self, text: &str) -> Seen {
        let ruleset = rules(text);
        self.through(&ruleset, &block(&ruleset))
    }
}

/// Compiles `text` as `test.conf`.
pub(crate) fn compile(text: &str) -> Result<Ruleset, CompileErrors> {
    let source = Source { name: "test.conf".to_owned(), text: text.to_owned() };
    Ruleset::compile(&[source], &MemFiles::new())
}

/// Compiles `text`, which must be right.
pub(crate) fn rules(text: &str) -> Ruleset {
    compile(text).unwrap_or_else(|errors| panic!("{errors}"))
}

pub(crate) fn settings(mode: Mode) -> OverlaySettings {
    let levels = Levels { paranoia: 1, inbound_threshold: 5, outbound_threshold: 4 };
    OverlaySettings::new(mode, levels)
}

pub(crate) fn block(ruleset: &Ruleset) -> Overlay {
    ruleset.overlay(&settings(Mode::Block)).unwrap()
}

pub(crate) fn detect(ruleset: &Ruleset) -> Overlay {
    ruleset.overlay(&settings(Mode::Detect)).unwrap()
}
