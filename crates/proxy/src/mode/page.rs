//! The page that has a browser prove its work.
//!
//! It runs one script and loads nothing: its Content-Security-Policy names the script and the style by their hashes (CSP
//! level 3 section 2.3.1) and allows nothing else.

use std::sync::LazyLock;

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use veloflux_snapshot::mode::Challenge;

use super::proof;

const TEMPLATE: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("solve.js");

/// What the page may do.
pub(super) static POLICY: LazyLock<String> = LazyLock::new(|| {
    let hash = |text: &str| STANDARD.encode(digest::digest(&digest::SHA256, text.as_bytes()));
    format!(
        "default-src 'none'; script-src 'sha256-{}'; style-src 'sha256-{}'; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'",
        hash(SCRIPT),
        hash(STYLE)
    )
});

/// The page for a challenge. `again`: the browser can ask for the same once more, when it has its proof.
pub(super) fn render(challenge: &str, policy: &Challenge, again: bool, request_id: &str) -> String {
    // None of these holds anything that HTML would take for its own.
    let values = [
        ("{style}", STYLE),
        ("{cookie}", proof::COOKIE),
        ("{challenge}", challenge),
        ("{bits}", &policy.difficulty_bits.to_string()),
        ("{seconds}", &policy.valid_for.as_secs().to_string()),
        ("{again}", if again { "true" } else { "false" }),
        ("{request_id}", request_id),
        ("{script}", SCRIPT),
    ];
    values.into_iter().fold(TEMPLATE.to_owned(), |page, (name, value)| page.replacen(name, value, 1))
}
