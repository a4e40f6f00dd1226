//! Runs a scenario: compiles its rules, and takes its request and response through one explained transaction.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use veloflux_waf::{
    CompileErrors, Connection, Files, Levels, Mode, OverlaySettings, Record, RequestHead, ResponseHead,
    Ruleset, Source, Transaction, Verdict,
};

use super::scenario::{Message, Peer, Scenario};
use crate::wire::Field;

/// Id of the rule that looks, last of all, at what the body's parser found.
pub(super) const PROBE: u32 = u32::MAX;
/// What the probe looks at, in the order in which the reference's parsers speak of it.
const PROBED: &str = "MULTIPART_BOUNDARY_QUOTED|MULTIPART_BOUNDARY_WHITESPACE|MULTIPART_DATA_BEFORE|ARGS_POST|\
    MULTIPART_DATA_AFTER|MULTIPART_LF_LINE|MULTIPART_INVALID_QUOTING|MULTIPART_FILE_LIMIT_EXCEEDED|REQBODY_ERROR|\
    REQBODY_ERROR_MSG";
/// Where paths of the data begin in the scenarios.
const DATA: &str = "test-cases/data/";

/// What came of a scenario.
pub(super) enum Seen {
    /// The rules do not compile.
    Mistakes(CompileErrors),
    /// The rules compile, and this is what they did.
    Ran(Box<Ran>),
}

pub(super) struct Ran {
    /// The status that the client would see.
    pub(super) status: u16,
    pub(super) record: Record,
    pub(super) ruleset: Ruleset,
    /// The type of a response whose body was not looked at for its type's sake.
    pub(super) uninspected: Option<String>,
    /// Whether the request says that its body is multipart.
    pub(super) multipart: bool,
    /// Texts of all rules, included files too, by name.
    pub(super) texts: Vec<(String, String)>,
}

pub(super) fn run(scenario: &Scenario, file: &str, data: &Path) -> Seen {
    let mut rules = Source { name: file.to_owned(), text: scenario.rules() };
    if ends_in_open_chain(&rules.text) {
        rules.text.push_str("SecRule REMOTE_ADDR \"@noMatch\" \"t:none\"\n");
    }
    let folder = Folder(data.join("data"));
    // Behind the scenario's rules, in the phase that always runs: it can change nothing that they see.
    let probe = Source {
        name: "probe.conf".to_owned(),
        text: format!("SecRule {PROBED} \"@unconditionalMatch\" \"id:{PROBE},phase:5,pass,nolog\"\n"),
    };
    let texts = folder.included(&rules);
    match Ruleset::compile(&[rules, probe], &folder) {
        Err(mistakes) => Seen::Mistakes(mistakes),
        Ok(ruleset) => {
            let mut uninspected = None;
            let (status, record) = transact(&ruleset, scenario, &mut uninspected);
            let multipart = header(&scenario.request, "content-type").starts_with("multipart/");
            Seen::Ran(Box::new(Ran { status, record, ruleset, uninspected, multipart, texts }))
        }
    }
}

fn transact(ruleset: &Ruleset, scenario: &Scenario, uninspected: &mut Option<String>) -> (u16, Record) {
    const OK: u16 = 200;
    let levels = Levels { paranoia: 1, inbound_threshold: 5, outbound_threshold: 4 };
    let settings = OverlaySettings::new(Mode::Block, levels);
    let Ok(overlay) = ruleset.overlay(&settings) else { return (0, Record::default()) };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let connection = Connection {
        client: address(scenario.client.as_ref()),
        server: address(scenario.server.as_ref()),
        request_id: &format!("{}.{:06}", now.as_secs(), now.subsec_micros()),
        now_unix_us: now.as_micros() as u64,
    };
    let Message { method, uri, .. } = &scenario.request;
    let protocol = protocol(&scenario.request);
    let request_headers = fields(&scenario.request);
    let head = RequestHead {
        method: method.as_deref().unwrap_or_default().as_bytes(),
        target: uri.as_deref().unwrap_or_default().as_bytes(),
        protocol: protocol.as_bytes(),
        headers: &request_headers,
    };
    let response_headers = fields(&scenario.response);
    let response = ResponseHead {
        status: OK,
        protocol: scenario.response.protocol.as_deref().unwrap_or("HTTP/1.1").as_bytes(),
        headers: &response_headers,
    };

    macro_rules! pass {
        ($verdict:expr) => {
            match $verdict {
                Verdict::Pass(transaction) => transaction,
                Verdict::Refuse(refused) => return (refused.status(), refused.finish()),
            }
        };
    }
    let transaction = Transaction::begin(ruleset, &overlay, &connection).explained();
    let transaction = pass!(transaction.request_head(&head));
    let transaction = pass!(transaction.request_body(&scenario.request.body(), true));
    let transaction = pass!(transaction.response_head(&response));
    if !transaction.body_wanted() {
        *uninspected = Some(header(&scenario.response, "content-type").to_owned());
    }
    let transaction = pass!(transaction.response_body(&scenario.response.body(), true));
    (OK, transaction.finish())
}

/// Whether the last rule is one that another should follow.
fn ends_in_open_chain(rules: &str) -> bool {
    let last = rules.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
    let actions = last.rsplit('"').nth(1).unwrap_or_default();
    last.trim_start().to_ascii_lowercase().starts_with("secrule")
        && actions.split(',').any(|action| action.trim() == "chain")
}

fn address(peer: Option<&Peer>) -> SocketAddr {
    let ip = peer.and_then(|peer| peer.ip.parse().ok()).unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
    SocketAddr::new(ip, peer.map_or(0, |peer| peer.port))
}

fn protocol(message: &Message) -> String {
    match &message.http_version {
        Some(serde_json::Value::String(version)) => format!("HTTP/{version}"),
        Some(version) => format!("HTTP/{version}"),
        None => "HTTP/1.1".to_owned(),
    }
}

fn header<'a>(message: &'a Message, name: &str) -> &'a str {
    let found = message.headers.0.iter().find(|(found, _)| found.eq_ignore_ascii_case(name));
    found.map_or("", |(_, value)| value)
}

fn fields(message: &Message) -> Vec<Field<'_>> {
    message.headers.0.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect()
}

/// The data's folder as the rules see it: its paths begin where the reference's tests run.
struct Folder(PathBuf);

impl Folder {
    /// `path` as the rule file `from` names it: where the tests run, or else beside that file.
    fn path(&self, path: &str, from: &str) -> Option<PathBuf> {
        let inside = path.strip_prefix(DATA).or_else(|| from.starts_with(DATA).then_some(path))?;
        Some(self.0.join(inside))
    }

    /// The rules' text, and those of the files that it includes.
    fn included(&self, rules: &Source) -> Vec<(String, String)> {
        let mut texts = vec![(rules.name.clone(), rules.text.clone())];
        let mut at = 0;
        while let Some((name, text)) = texts.get(at).cloned() {
            for line in text.lines() {
                let mut words = line.split_whitespace();
                if words.next().is_some_and(|word| word.eq_ignore_ascii_case("include")) {
                    let pattern = words.next().unwrap_or_default().trim_matches('"');
                    for found in self.glob(pattern, &name).unwrap_or_default() {
                        let content = self.read(&found, "").unwrap_or_default();
                        if !texts.iter().any(|(known, _)| *known == found) {
                            texts.push((found, String::from_utf8_lossy(&content).into_owned()));
                        }
                    }
                }
            }
            at += 1;
        }
        texts
    }
}

impl Files for Folder {
    fn read(&self, path: &str, from: &str) -> Result<Vec<u8>, String> {
        let found = self.path(path, from).ok_or_else(|| format!("not under {DATA}"))?;
        std::fs::read(found).map_err(|error| error.to_string())
    }

    fn glob(&self, pattern: &str, from: &str) -> Result<Vec<String>, String> {
        let Some(path) = self.path(pattern, from) else { return Ok(Vec::new()) };
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let Some((before, after)) = name.split_once('*') else {
            return Ok(if path.is_file() { vec![format!("{DATA}{name}")] } else { Vec::new() });
        };
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.0).map_err(|error| error.to_string())? {
            let found = entry.map_err(|error| error.to_string())?.file_name().to_string_lossy().into_owned();
            if found.starts_with(before) && found.ends_with(after) {
                names.push(format!("{DATA}{found}"));
            }
        }
        names.sort();
        Ok(names)
    }
}
