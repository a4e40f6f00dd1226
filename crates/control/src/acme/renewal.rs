//! When a certificate is renewed: when its authority says so (RFC 9773), or else after a share of its life.

use instant_acme::{CertificateIdentifier, RenewalInfo};
use rustls_pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;

/// Least and most time between two questions to the authority, in seconds (RFC 9773 section 4.3.2).
const QUESTION_PAUSES_S: (u64, u64) = (60, 86_400);

/// Time until the next question where the last one was not answered, in seconds.
pub(super) const UNANSWERED_PAUSE_S: u64 = 6 * 3_600;

/// Share of a certificate's life that is left when it is renewed whatever its authority says, in per cent.
const LATEST_LEFT_PERCENT: u64 = 5;

/// A certificate's life, in seconds since 1970.
#[derive(Debug, Clone)]
pub(super) struct Life {
    not_before_unix_s: u64,
    pub(super) not_after_unix_s: u64,
    /// What its authority knows it by; `None`: it names no issuer's key.
    pub(super) identifier: Option<CertificateIdentifier<'static>>,
}

impl Life {
    /// Of a certificate in DER.
    pub(super) fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
        let validity = parsed.validity();
        Some(Self {
            not_before_unix_s: validity.not_before.timestamp().try_into().ok()?,
            not_after_unix_s: validity.not_after.timestamp().try_into().ok()?,
            identifier: CertificateIdentifier::try_from(certificate)
                .ok()
                .map(CertificateIdentifier::into_owned),
        })
    }

    fn length_s(&self) -> u64 {
        self.not_after_unix_s.saturating_sub(self.not_before_unix_s)
    }

    /// When to renew where the authority does not say: after `percent` of its life, and up to a fiftieth later at random,
    /// so that certificates of one day are not renewed in one second.
    pub(super) fn renew_unix_s(&self, percent: u64) -> u64 {
        let share = self.length_s() * percent / 100;
        self.not_before_unix_s + share + fastrand::u64(0..=self.length_s() / 50)
    }

    /// A moment of the authority's window, at random; not so late that a failure would leave no time.
    pub(super) fn renew_within_unix_s(&self, info: &RenewalInfo) -> u64 {
        let window = &info.suggested_window;
        let unix_s = |time: i64| u64::try_from(time).unwrap_or(0);
        let (start, end) = (unix_s(window.start.unix_timestamp()), unix_s(window.end.unix_timestamp()));
        let latest = self.not_after_unix_s.saturating_sub(self.length_s() * LATEST_LEFT_PERCENT / 100);
        fastrand::u64(start..=end.max(start)).min(latest)
    }

    /// Longest pause after failures, in seconds: a quarter of what is left, so that several more fit in.
    pub(super) fn longest_pause_s(&self, now_unix_s: u64) -> u64 {
        self.not_after_unix_s.saturating_sub(now_unix_s) / 4
    }
}

/// When to ask the authority again, which asked for `pause_s` seconds.
pub(super) fn question_pause_s(pause_s: u64) -> u64 {
    pause_s.clamp(QUESTION_PAUSES_S.0, QUESTION_PAUSES_S.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(start: i64, end: i64) -> RenewalInfo {
        let text = |s: i64| {
            let time = x509_parser::time::ASN1Time::from_timestamp(s).unwrap().to_datetime();
            format!(
                "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z",
                time.year(),
                u8::from(time.month()),
                time.day(),
                time.hour(),
                time.minute(),
                time.second()
            )
        };
        let json = format!(
            "{{\"suggestedWindow\": {{\"start\": \"{}\", \"end\": \"{}\"}}}}",
            text(start),
            text(end)
        );
        serde_json::from_str(&json).unwrap()
    }

    #[test]
    fn a_moment_of_the_window_is_taken_but_never_one_too_late() {
        let life = Life { not_before_unix_s: 1_000_000, not_after_unix_s: 1_100_000, identifier: None };
        for _ in 0..100 {
            assert!(
                (1_010_000..=1_020_000).contains(&life.renew_within_unix_s(&window(1_010_000, 1_020_000)))
            );
            assert!((1_067_000..=1_069_000).contains(&life.renew_unix_s(67)));
        }
        assert_eq!(life.renew_within_unix_s(&window(1_200_000, 1_300_000)), 1_095_000);
        // A window that ends before it begins is its beginning.
        assert_eq!(life.renew_within_unix_s(&window(1_020_000, 1_010_000)), 1_020_000);
        assert_eq!(life.renew_within_unix_s(&window(0, 0)), 0);
    }
}
