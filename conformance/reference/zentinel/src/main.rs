//! `veloflux-zentinel CONFIGURATION`: judges requests with zentinel-modsec, speaking as `modsecurity.py` does.
//!
//! It takes text: a request that is not UTF-8 is an error. It does not tell rules that log from rules that do not, so
//! `matched` holds both.

use std::io::{BufRead, Write, stdin, stdout};
use std::process::ExitCode;

use veloflux_reference::{Answer, Greeting, Judged, Request, bytes, thread_cpu_ns};
use zentinel_modsec::{Intervention, ModSecurity, Transaction};

type Error = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let Some(configuration) = std::env::args().nth(1) else {
        eprintln!("usage: veloflux-zentinel CONFIGURATION");
        return ExitCode::FAILURE;
    };
    match serve(&configuration) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("veloflux-zentinel: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(configuration: &str) -> Result<(), Error> {
    let engine = ModSecurity::from_file(configuration)?;
    let mut output = stdout().lock();
    let mut say = |line: String| -> Result<(), Error> {
        output.write_all(line.as_bytes())?;
        output.write_all(b"\n")?;
        Ok(output.flush()?)
    };
    let name = format!("zentinel-modsec {}", zentinel_modsec::VERSION);
    say(serde_json::to_string(&Greeting { engine: name })?)?;
    for line in stdin().lock().lines() {
        let requests: Vec<Request> = serde_json::from_str(&line?)?;
        let requests: Vec<_> = requests.iter().map(Utf8::read).collect();
        let answers: Vec<Answer> = requests.iter().map(|request| answer(&engine, request)).collect();
        say(serde_json::to_string(&answers)?)?;
    }
    Ok(())
}

/// A request as the engine takes it.
struct Utf8 {
    method: String,
    target: String,
    protocol: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Utf8 {
    fn read(request: &Request) -> Result<Self, String> {
        let raw = |part: &str| bytes(part).ok_or_else(|| "a character that is no byte".to_owned());
        let text = |part: &str| String::from_utf8(raw(part)?).map_err(|error| error.to_string());
        let headers = request.headers.iter().map(|(name, value)| Ok((text(name)?, text(value)?)));
        Ok(Self {
            method: text(&request.method)?,
            target: text(&request.target)?,
            protocol: format!("HTTP/{}", text(&request.version)?),
            headers: headers.collect::<Result<_, String>>()?,
            body: raw(&request.body)?,
        })
    }
}

fn answer(engine: &ModSecurity, request: &Result<Utf8, String>) -> Answer {
    let judged = request.as_ref().map_err(Clone::clone).and_then(|request| judge(engine, request));
    match judged {
        Ok(judged) => Answer::Judged(judged),
        Err(error) => Answer::Failed { error },
    }
}

fn judge(engine: &ModSecurity, request: &Utf8) -> Result<Judged, String> {
    let begun = thread_cpu_ns();
    let mut transaction = engine.new_transaction();
    let refusal = run(&mut transaction, request)
        .and_then(|refusal| transaction.process_logging().map(|()| refusal))
        .map_err(|error| error.to_string())?;
    let judged = thread_cpu_ns();
    let number = |id: &String| id.parse().map_err(|_| format!("a rule id {id}"));
    let matched = transaction.matched_rules().iter().map(number).collect::<Result<_, _>>()?;
    let rule = refusal.as_ref().and_then(|refusal| refusal.rule_ids.first()).map(number).transpose()?;
    let read = thread_cpu_ns();
    drop(transaction);
    let cpu_ns = (judged - begun) + (thread_cpu_ns() - read);
    Ok(Judged { matched, status: refusal.map(|refusal| refusal.status), rule, cpu_ns })
}

/// The phases up to the response's body; what refused, if anything did.
fn run(transaction: &mut Transaction, request: &Utf8) -> zentinel_modsec::Result<Option<Intervention>> {
    transaction.set_client_addr("192.0.2.7", 40_000);
    transaction.set_server_addr("198.51.100.1", 443);
    transaction.process_uri(&request.target, &request.method, &request.protocol)?;
    for (name, value) in &request.headers {
        transaction.add_request_header(name, value)?;
    }
    transaction.process_request_headers()?;
    if !transaction.has_intervention() {
        if !request.body.is_empty() {
            transaction.append_request_body(&request.body)?;
        }
        transaction.process_request_body()?;
    }
    if !transaction.has_intervention() {
        transaction.process_response_headers()?;
    }
    if !transaction.has_intervention() {
        transaction.process_response_body()?;
    }
    Ok(transaction.intervention().cloned())
}
