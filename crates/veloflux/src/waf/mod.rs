//! `veloflux waf top`: what a running process's rules cost. `veloflux waf eval`: one request through a rule set, and why it ends as it does. Serves nothing, changes nothing.

mod report;
mod request;
mod rules;
mod top;

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use veloflux_waf::{
    Connection, Levels, Mode, Overlay, OverlaySettings, Record, RequestHead, Ruleset, Transaction, Verdict,
};

use crate::cli::{Eval, WafCommand};
use crate::failure::{Failure, Outcome};
use report::Report;
use request::Request;

/// Anomaly scores from which on a request, and a response, are refused: those of the CRS's own set-up.
const THRESHOLDS: (u32, u32) = (5, 4);

/// Runs that are timed; the fastest counts, since all else is the machine's doing.
const TIMED_RUNS: usize = 5;

pub(crate) fn run(command: &WafCommand) -> Outcome {
    match command {
        WafCommand::Eval(args) => eval(args),
        WafCommand::Top(args) => top::run(args),
    }
}

fn eval(args: &Eval) -> Outcome {
    let request = Request::read(&args.request)?;
    let ruleset = rules::compile(&args.rules)?;
    let (inbound_threshold, outbound_threshold) = THRESHOLDS;
    let levels = Levels { paranoia: args.level, inbound_threshold, outbound_threshold };
    let settings = OverlaySettings::new(Mode::Block, levels);
    let overlay = ruleset.overlay(&settings).map_err(|error| Failure::new(error.to_string()))?;

    let mut record = transact(&ruleset, &overlay, &request, true);
    // Explaining asks more than judging does, and so has no budget: what judging costs shows without it.
    let judged = transact(&ruleset, &overlay, &request, false);
    if judged.work.over_budget {
        record.refused = judged.refused;
    }
    record.work = judged.work;
    let report = Report::new(&ruleset, &overlay, &request, &record, time(&ruleset, &overlay, &request));
    if args.json {
        println!("{}", report.json()?);
    } else {
        print!("{report}");
    }
    Ok(())
}

/// The request's phases, then the logging rules. There is no response to look at.
fn transact(ruleset: &Ruleset, overlay: &Overlay, request: &Request, explained: bool) -> Record {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let connection = Connection {
        client: address,
        server: address,
        request_id: "eval",
        now_unix_us: u64::try_from(now.as_micros()).unwrap_or(u64::MAX),
    };
    let headers: Vec<_> = request.headers.iter().map(|(name, value)| (&name[..], &value[..])).collect();
    let head = RequestHead {
        method: &request.method,
        target: &request.target,
        protocol: &request.protocol,
        headers: &headers,
    };
    let transaction = Transaction::begin(ruleset, overlay, &connection);
    let transaction = if explained { transaction.explained() } else { transaction };
    match transaction.request_head(&head) {
        Verdict::Refuse(refused) => refused.finish(),
        Verdict::Pass(transaction) => match transaction.request_body(&request.body, true) {
            Verdict::Refuse(refused) => refused.finish(),
            Verdict::Pass(transaction) => transaction.finish(),
        },
    }
}

/// How long judging takes when nobody asks why.
fn time(ruleset: &Ruleset, overlay: &Overlay, request: &Request) -> Duration {
    let run = || {
        let start = Instant::now();
        transact(ruleset, overlay, request, false);
        start.elapsed()
    };
    (0..TIMED_RUNS).map(|_| run()).min().unwrap_or_default()
}
