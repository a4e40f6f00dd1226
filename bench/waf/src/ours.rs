//! Our engine in this process, asked as the others are.

use std::path::Path;

use veloflux_reference::{Answer, Judged, Request, bytes, thread_cpu_ns};
use veloflux_waf::{
    Cause, Connection, Levels, MemFiles, Mode, Overlay, OverlaySettings, Record, RequestHead, ResponseHead,
    Ruleset, Transaction, Verdict, crs, forget_values,
};

use crate::corpus::Sample;

/// Name of the rules' folder inside [`MemFiles`].
const ROOT: &str = "crs";

/// A paranoia level that is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// What the CRS begins with.
    One,
    /// Every rule.
    Four,
}

impl Level {
    /// Both.
    pub const ALL: [Self; 2] = [Self::One, Self::Four];

    /// As in figures: `pl1`, `pl4`.
    pub fn name(self) -> &'static str {
        match self {
            Self::One => "pl1",
            Self::Four => "pl4",
        }
    }
}

/// The CRS compiled once, and what a tenant with default settings has of it at each level.
///
/// Level 4 refuses some benign requests. One that ends early would be cheap for ending early, so at that level benign
/// requests are only watched, and judged whole.
#[derive(Debug)]
pub struct Ours {
    ruleset: Ruleset,
    one: Overlay,
    four: Overlay,
    four_watching: Overlay,
}

impl Ours {
    /// Compiles the release unpacked in the folder `release`.
    pub fn compile(release: &Path) -> Result<Self, String> {
        let files = files(release).map_err(|error| format!("{}: {error}", release.display()))?;
        let ruleset =
            Ruleset::compile(&crs::sources(&files, ROOT)?, &files).map_err(|error| error.to_string())?;
        let overlay = |paranoia, mode| {
            let levels = Levels { paranoia, inbound_threshold: 5, outbound_threshold: 4 };
            ruleset
                .overlay(&OverlaySettings {
                    mode,
                    levels,
                    exclusions: Vec::new(),
                    rule_modes: Vec::new(),
                    rules: Vec::new(),
                })
                .map_err(|error| error.to_string())
        };
        let (one, four) = (overlay(1, Mode::Block)?, overlay(4, Mode::Block)?);
        let four_watching = overlay(4, Mode::Detect)?;
        Ok(Self { ruleset, one, four, four_watching })
    }

    /// Has `samples` judged in a row; with `cold`, each as if no value of it had been seen before.
    pub fn judge(&self, samples: &[Sample], level: Level, cold: bool) -> Vec<Answer> {
        // Bytes are made before the first is judged: in a proxy they lie there already.
        let raw: Vec<_> = samples.iter().map(|sample| Raw::read(&sample.request)).collect();
        let mut answers = Vec::with_capacity(samples.len());
        for (sample, raw) in samples.iter().zip(&raw) {
            if cold {
                forget_values();
            }
            answers.push(match raw {
                Some(raw) => self.answer(self.overlay(level, sample.is_attack()), raw),
                None => Answer::Failed { error: "a character that is no byte".into() },
            });
        }
        answers
    }

    /// Judges one and does nothing else, so that it can be counted; whether it was refused.
    pub fn refuses(&self, raw: &Raw, level: Level, attack: bool) -> bool {
        transaction(&self.ruleset, self.overlay(level, attack), raw).refused.is_some()
    }

    fn overlay(&self, level: Level, attack: bool) -> &Overlay {
        match (level, attack) {
            (Level::One, _) => &self.one,
            (Level::Four, true) => &self.four,
            (Level::Four, false) => &self.four_watching,
        }
    }

    fn answer(&self, overlay: &Overlay, raw: &Raw) -> Answer {
        let begun = thread_cpu_ns();
        let record = transaction(&self.ruleset, overlay, raw);
        let judged = thread_cpu_ns();
        let matched = record
            .matches
            .iter()
            .filter(|found| found.logged)
            .map(|found| u64::from(found.rule_id))
            .collect();
        let status = record.refused.as_ref().map(|refused| refused.status);
        let rule = record.refused.as_ref().and_then(|refused| match refused.cause {
            Cause::Rule(id) => Some(u64::from(id)),
            Cause::Internal(_) => None,
        });
        let error = record.internal_errors.first().cloned();
        let read = thread_cpu_ns();
        drop(record);
        let cpu_ns = (judged - begun) + (thread_cpu_ns() - read);
        match error {
            Some(error) => Answer::Failed { error },
            None => Answer::Judged(Judged { matched, status, rule, cpu_ns }),
        }
    }
}

/// A request as bytes, ready to be judged.
#[derive(Debug)]
pub struct Raw {
    method: Vec<u8>,
    target: Vec<u8>,
    protocol: Vec<u8>,
    headers: Vec<(Vec<u8>, Vec<u8>)>,
    body: Vec<u8>,
}

impl Raw {
    /// `None` where a character is no byte.
    pub fn read(request: &Request) -> Option<Self> {
        let headers = request.headers.iter().map(|(name, value)| Some((bytes(name)?, bytes(value)?)));
        Some(Self {
            method: bytes(&request.method)?,
            target: bytes(&request.target)?,
            protocol: bytes(&format!("HTTP/{}", request.version))?,
            headers: headers.collect::<Option<_>>()?,
            body: bytes(&request.body)?,
        })
    }
}

/// One transaction, all phases, answered with an empty 200.
fn transaction(ruleset: &Ruleset, overlay: &Overlay, raw: &Raw) -> Record {
    macro_rules! pass {
        ($verdict:expr) => {
            match $verdict {
                Verdict::Pass(transaction) => transaction,
                Verdict::Refuse(refused) => return refused.finish(),
            }
        };
    }
    let headers: Vec<(&[u8], &[u8])> =
        raw.headers.iter().map(|(name, value)| (name.as_slice(), value.as_slice())).collect();
    let connection = Connection {
        client: ([192, 0, 2, 7], 40_000).into(),
        server: ([198, 51, 100, 1], 443).into(),
        request_id: "request-1",
        now_unix_us: 951_827_696_000_000,
    };
    let transaction = Transaction::begin(ruleset, overlay, &connection);
    let transaction = pass!(transaction.request_head(&RequestHead {
        method: &raw.method,
        target: &raw.target,
        protocol: &raw.protocol,
        headers: &headers,
    }));
    let transaction = pass!(transaction.request_body(&raw.body, true));
    let head = ResponseHead { status: 200, protocol: b"HTTP/1.1", headers: &[] };
    let transaction = pass!(transaction.response_head(&head));
    let transaction = pass!(transaction.response_body(b"", true));
    transaction.finish()
}

/// Set-up, rules and plugins of a release, with what they read.
fn files(release: &Path) -> std::io::Result<MemFiles> {
    let mut files = MemFiles::new();
    for (folder, root) in
        [("", ROOT.to_owned()), ("rules", format!("{ROOT}/rules")), ("plugins", format!("{ROOT}/plugins"))]
    {
        let folder = release.join(folder);
        if !folder.is_dir() {
            continue;
        }
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                let name = format!("{root}/{}", entry.file_name().to_string_lossy());
                files = files.with(&name, std::fs::read(entry.path())?);
            }
        }
    }
    Ok(files)
}
