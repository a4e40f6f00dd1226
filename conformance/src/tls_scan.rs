//! Suite `tls-scan`: what sslyze finds on a listener with default settings, held to the conditions of a grade A+ as SSL
//! Labs' rating guide has them: no version below TLS 1.2, forward secrecy and authenticated encryption only, none of the
//! known vulnerabilities, strict transport security as configured, and a chain that its own authority vouches for.
//!
//! The chain's authority is private, so that the public stores' verdict says nothing. sslyze offers the key exchanges of
//! its OpenSSL; that the post-quantum one is preferred is tested elsewhere.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::SuiteResult;
use crate::edge::{Edge, Setting};
use crate::tally::{Difference, Tally};

/// The suite's name.
pub const NAME: &str = "tls-scan";

/// Where `scripts/setup` puts the scanner, from the repository's root.
const SCANNER: &str = "target/sslyze/bin/sslyze";

/// The name that is scanned.
const HOST: &str = "scan.test";

/// What is asked of the scanner.
const SCANS: &[&str] = &[
    "--certinfo",
    "--compression",
    "--early_data",
    "--elliptic_curves",
    "--ems",
    "--fallback",
    "--heartbleed",
    "--http_headers",
    "--openssl_ccs",
    "--reneg",
    "--robot",
    "--sslv2",
    "--sslv3",
    "--tlsv1",
    "--tlsv1_1",
    "--tlsv1_2",
    "--tlsv1_3",
];

/// Places in the scan's result, and what has to stand there.
const VALUES: &[(&str, &str, &str)] = &[
    ("no SSL 2.0", "/ssl_2_0_cipher_suites/result/is_tls_version_supported", "false"),
    ("no SSL 3.0", "/ssl_3_0_cipher_suites/result/is_tls_version_supported", "false"),
    ("no TLS 1.0", "/tls_1_0_cipher_suites/result/is_tls_version_supported", "false"),
    ("no TLS 1.1", "/tls_1_1_cipher_suites/result/is_tls_version_supported", "false"),
    ("TLS 1.2", "/tls_1_2_cipher_suites/result/is_tls_version_supported", "true"),
    ("TLS 1.3", "/tls_1_3_cipher_suites/result/is_tls_version_supported", "true"),
    ("no compression (CRIME)", "/tls_compression/result/supports_compression", "false"),
    ("no early data (replay)", "/tls_1_3_early_data/result/supports_early_data", "false"),
    ("no Heartbleed", "/heartbleed/result/is_vulnerable_to_heartbleed", "false"),
    ("no CCS injection", "/openssl_ccs_injection/result/is_vulnerable_to_ccs_injection", "false"),
    ("no ROBOT", "/robot/result/robot_result", "\"NOT_VULNERABLE_RSA_NOT_SUPPORTED\""),
    (
        "no renegotiation by clients",
        "/session_renegotiation/result/is_vulnerable_to_client_renegotiation_dos",
        "false",
    ),
    ("secure renegotiation", "/session_renegotiation/result/supports_secure_renegotiation", "true"),
    ("downgrades are noticed", "/tls_fallback_scsv/result/supports_fallback_scsv", "true"),
    ("extended master secret", "/tls_extended_master_secret/result/supports_ems_extension", "true"),
    ("HSTS max-age", "/http_headers/result/strict_transport_security_header/max_age", "31536000"),
    (
        "HSTS for subdomains",
        "/http_headers/result/strict_transport_security_header/include_subdomains",
        "true",
    ),
    (
        "chain in order",
        "/certificate_info/result/certificate_deployments/0/received_chain_has_valid_order",
        "true",
    ),
    (
        "no SHA-1 in the chain",
        "/certificate_info/result/certificate_deployments/0/verified_chain_has_sha1_signature",
        "false",
    ),
];

/// Key exchanges that may be accepted.
const GROUPS: [&str; 3] = ["X25519", "secp256r1", "secp384r1"];

/// The scanner, or a sentence that says it is not there.
pub fn scanner() -> Result<PathBuf, String> {
    let found = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(SCANNER);
    if found.is_file() { Ok(found) } else { Err("sslyze is not installed; scripts/setup does it".into()) }
}

/// Runs the suite with the `scanner`.
pub fn run(scanner: &Path) -> Result<SuiteResult, String> {
    let mut tally = Tally::new(NAME, NAME)?;
    let edge = Edge::start(&Setting { hosts: &[HOST.into()], rules: None, tls: true })?;
    let found = scan(scanner, &edge)?;
    edge.stop()?;
    for (case, judged) in conditions(&found) {
        tally.add(&case, None, || judged);
    }
    Ok(tally.finish())
}

fn scan(scanner: &Path, edge: &Edge) -> Result<Value, String> {
    let address = edge.tls_address().ok_or("the edge has no TLS listener")?;
    let output = edge.path("scan.json");
    let ran = Command::new(scanner)
        .args(SCANS)
        .args(["--mozilla_config", "disable", "--quiet", "--certinfo_ca_file"])
        .arg(edge.path("certs/ca.pem"))
        .arg("--json_out")
        .arg(&output)
        .arg(format!("{HOST}:{}{{{}}}", address.port(), address.ip()))
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("{}: {error}", scanner.display()))?;
    let text = std::fs::read_to_string(&output)
        .map_err(|error| format!("no result: {error}\n{}", String::from_utf8_lossy(&ran.stderr)))?;
    let whole: Value = serde_json::from_str(&text).map_err(|error| format!("the result: {error}"))?;
    let found = whole.pointer("/server_scan_results/0/scan_result").filter(|found| found.is_object());
    found.cloned().ok_or_else(|| format!("nothing was scanned: {text}"))
}

/// Every condition, and whether the scan's result meets it.
fn conditions(found: &Value) -> Vec<(String, Result<(), Difference>)> {
    let mut judged = Vec::new();
    let mut add = |case: &str, expected: &str, got: String, holds: bool| {
        let result = if holds { Ok(()) } else { Err(Difference::new(expected, got)) };
        judged.push((case.to_owned(), result));
    };
    for (case, place, expected) in VALUES {
        let got = found.pointer(place).map_or_else(|| "nothing".to_owned(), Value::to_string);
        let holds = got == *expected;
        add(case, expected, got, holds);
    }
    for (case, place) in [
        ("sound suites in TLS 1.2", "/tls_1_2_cipher_suites/result/accepted_cipher_suites"),
        ("sound suites in TLS 1.3", "/tls_1_3_cipher_suites/result/accepted_cipher_suites"),
    ] {
        let suites = names(found, place, "/cipher_suite/name");
        let holds = !suites.is_empty() && suites.iter().all(|suite| is_sound(suite));
        add(case, "ephemeral key exchange and authenticated encryption", suites.join(" "), holds);
    }
    let groups = names(found, "/elliptic_curves/result/supported_curves", "/name");
    let holds = !groups.is_empty() && groups.iter().all(|group| GROUPS.contains(&group.as_str()));
    add("sound key exchanges", &GROUPS.join(" "), groups.join(" "), holds);

    let stores = "/certificate_info/result/certificate_deployments/0/path_validation_results";
    let stores = found.pointer(stores).and_then(Value::as_array).cloned().unwrap_or_default();
    let own = stores.iter().find(|one| one["trust_store"]["name"] == "Supplied CA file");
    let holds = own.is_some_and(|one| one["was_validation_successful"] == true);
    add("a chain that its authority vouches for", "validated", format!("{own:?}"), holds);

    let scans = found.as_object().into_iter().flatten();
    let failed = scans.filter(|(_, scan)| scan["status"] == "ERROR").map(|(name, _)| name.as_str());
    let failed: Vec<_> = failed.collect();
    add("every scan ran", "no error", failed.join(" "), failed.is_empty());
    judged
}

/// Whether a suite has forward secrecy and authenticated encryption. All suites of TLS 1.3 have, and name no key exchange.
fn is_sound(suite: &str) -> bool {
    let aead = suite.contains("_GCM_") || suite.contains("CHACHA20_POLY1305");
    let ephemeral = suite.starts_with("TLS_ECDHE_") || !suite.contains("_WITH_");
    aead && ephemeral
}

fn names(found: &Value, list: &str, name: &str) -> Vec<String> {
    let list = found.pointer(list).and_then(Value::as_array);
    let names = list.into_iter().flatten().filter_map(|one| one.pointer(name)?.as_str());
    names.map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn weak_suites_are_told_from_sound_ones() {
        for sound in ["TLS_AES_128_GCM_SHA256", "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256"] {
            assert!(is_sound(sound), "{sound}");
        }
        for weak in [
            "TLS_RSA_WITH_AES_128_GCM_SHA256",
            "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",
            "TLS_RSA_WITH_RC4_128_MD5",
        ] {
            assert!(!is_sound(weak), "{weak}");
        }
    }

    #[test]
    fn a_scan_that_says_nothing_meets_no_condition_but_that_it_ran() {
        let judged = conditions(&json!({}));
        let met: Vec<_> = judged.iter().filter(|(_, result)| result.is_ok()).map(|(case, _)| case).collect();
        assert_eq!(met, ["every scan ran"]);
        assert!(judged.len() > VALUES.len());
    }
}
