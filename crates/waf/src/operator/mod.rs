//! Operators: what a rule asks of a value.
//!
//! Each is ModSecurity v3's of the same name (reference: ModSecurity Reference Manual v3, "Operators"). An
//! operator with a fixed argument is compiled once ([`Operator`]); one whose argument holds macros is evaluated
//! with the expanded argument ([`RuntimeOperator`]). Negation (`!@rx`) is the caller's. An operator that cannot
//! answer says so ([`OperatorFailure`]): a failure is never "no match".

mod begins_with;
mod captures;
mod contains;
mod contains_word;
mod cost;
mod detect_sqli;
mod detect_xss;
mod detector;
mod ends_with;
mod eq;
mod error;
mod ge;
mod geo;
mod gt;
mod ip_match;
mod le;
mod lt;
mod need;
pub(crate) mod number;
mod pm;
mod runtime;
mod rx;
mod streq;
mod validate_byte_range;
mod validate_url_encoding;
mod validate_utf8_encoding;
mod verify;
mod verify_cc;
mod verify_cpf;
mod verify_ssn;
mod verify_svnr;
mod within;

use std::ops::Range;
use std::sync::Arc;

pub use captures::{Captures, MAX_CAPTURES};
pub use error::{OperatorError, OperatorFailure};
pub use geo::Geo;
pub use runtime::RuntimeOperator;
pub use rx::PatternLimits;

/// What operators need from outside the engine when they are compiled.
pub trait DataFiles {
    /// The content of the file that `path` names in the rules, relative to whatever the caller resolves it
    /// against; the error says what went wrong, for the reader of the rules.
    fn read(&self, path: &str) -> Result<Vec<u8>, String>;

    /// The geographic database for `@geoLookup`, if there is one.
    fn geo(&self) -> Option<Arc<dyn Geo>> {
        None
    }
}

/// A compiled operator with its argument.
#[derive(Debug)]
pub struct Operator {
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    ByteRange(Box<validate_byte_range::ByteRange>),
    DetectSqli,
    DetectXss,
    GeoLookup(Option<Arc<dyn Geo>>),
    IpMatch(ip_match::Networks),
    NoMatch,
    Phrases(pm::Phrases),
    Rbl,
    Runtime(RuntimeOperator, Box<[u8]>),
    Rx(Box<rx::Pattern>),
    RxGlobal(Box<rx::Pattern>),
    UnconditionalMatch,
    UrlEncoding,
    Utf8Encoding,
    Verify(Box<verify::Verifier>),
}

impl Operator {
    /// Compiles the operator that SecLang calls `name` (without `@`, whatever the case of its letters).
    pub fn compile(name: &str, argument: &str, files: &dyn DataFiles) -> Result<Self, OperatorError> {
        Self::compile_within(PatternLimits::default(), name, argument, files)
    }

    /// The same; a pattern that costs more than `limits` is an error.
    pub fn compile_within(
        limits: PatternLimits,
        name: &str,
        argument: &str,
        files: &dyn DataFiles,
    ) -> Result<Self, OperatorError> {
        use verify::{Number, Verifier};
        let verifier = |number| {
            Verifier::compile(number, argument, limits).map(|verifier| Kind::Verify(Box::new(verifier)))
        };
        let kind = match name.to_ascii_lowercase().as_str() {
            "detectsqli" => Kind::DetectSqli,
            "detectxss" => Kind::DetectXss,
            "geolookup" => Kind::GeoLookup(files.geo()),
            "ipmatch" => Kind::IpMatch(ip_match::Networks::from_argument(argument)?),
            "ipmatchf" | "ipmatchfromfile" => Kind::IpMatch(ip_match::Networks::from_file(argument, files)?),
            "nomatch" => Kind::NoMatch,
            "pm" => Kind::Phrases(pm::Phrases::from_argument(argument)?),
            "pmf" | "pmfromfile" => Kind::Phrases(pm::Phrases::from_file(argument, files)?),
            "rbl" => Kind::Rbl,
            "rx" => Kind::Rx(compile_pattern("rx", argument, limits)?),
            "rxglobal" => Kind::RxGlobal(compile_pattern("rxGlobal", argument, limits)?),
            "unconditionalmatch" => Kind::UnconditionalMatch,
            "validatebyterange" => {
                Kind::ByteRange(Box::new(validate_byte_range::ByteRange::compile(argument)?))
            }
            "validateurlencoding" => Kind::UrlEncoding,
            "validateutf8encoding" => Kind::Utf8Encoding,
            "verifycc" => verifier(Number::Card)?,
            "verifycpf" => verifier(Number::Cpf)?,
            "verifyssn" => verifier(Number::Ssn)?,
            "verifysvnr" => verifier(Number::Svnr)?,
            _ => match RuntimeOperator::from_name(name) {
                Some(operator) => Kind::Runtime(operator, argument.as_bytes().into()),
                None => return Err(error::unusable(name)),
            },
        };
        Ok(Self { kind })
    }

    /// Whether `input` matches. `captures` is emptied, then holds what the operator captured.
    pub fn matches(&self, input: &[u8], captures: &mut Captures) -> Result<bool, OperatorFailure> {
        captures.clear();
        match &self.kind {
            Kind::ByteRange(range) => Ok(range.is_left_by(input)),
            Kind::DetectSqli => detect_sqli::matches(&detector::Libinjection, input, captures),
            Kind::DetectXss => detect_xss::matches(&detector::Libinjection, input, captures),
            Kind::GeoLookup(database) => geo::lookup(database.as_ref(), input).map(|found| found.is_some()),
            Kind::IpMatch(networks) => Ok(networks.contain(input)),
            Kind::NoMatch => Ok(false),
            Kind::Phrases(phrases) => Ok(phrases.matches(input, captures)),
            Kind::Rbl => Err(OperatorFailure::Unavailable {
                operator: "rbl",
                reason: "the engine asks no DNS server while a request waits",
            }),
            Kind::Runtime(operator, argument) => operator.matches(argument, input, captures),
            Kind::Rx(pattern) => pattern.matches(input, captures),
            Kind::RxGlobal(pattern) => pattern.matches_global(input, captures),
            Kind::UnconditionalMatch => Ok(true),
            Kind::UrlEncoding => Ok(validate_url_encoding::matches(input)),
            Kind::Utf8Encoding => Ok(validate_utf8_encoding::matches(input)),
            Kind::Verify(verifier) => verifier.matches(input, captures),
        }
    }

    /// Where in `input` an operator that looks for its argument, as text, finds it.
    pub(crate) fn find(&self, input: &[u8]) -> Option<Range<usize>> {
        match &self.kind {
            Kind::Runtime(operator, argument) => operator.find(argument, input),
            _ => None,
        }
    }

    /// Whether it is `@geoLookup`.
    pub(crate) fn locates(&self) -> bool {
        matches!(self.kind, Kind::GeoLookup(_))
    }

    /// For `@geoLookup`: what the database knows of the address `input`, as the names and values of the `GEO`
    /// collection. `None` for any other operator, and for an unknown address.
    pub fn located(&self, input: &[u8]) -> Result<Option<Vec<(&'static str, String)>>, OperatorFailure> {
        match &self.kind {
            Kind::GeoLookup(database) => geo::lookup(database.as_ref(), input),
            _ => Ok(None),
        }
    }
}

fn compile_pattern(
    operator: &'static str,
    argument: &str,
    limits: PatternLimits,
) -> Result<Box<rx::Pattern>, OperatorError> {
    let pattern = rx::Pattern::compile_within(argument.as_bytes(), limits);
    pattern.map(Box::new).map_err(|message| OperatorError::Argument { operator, message })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    struct NoFiles;
    impl DataFiles for NoFiles {
        fn read(&self, _: &str) -> Result<Vec<u8>, String> {
            Err("no such file".to_owned())
        }
    }

    fn compile(name: &str, argument: &str) -> Result<Operator, OperatorError> {
        Operator::compile(name, argument, &NoFiles)
    }

    #[test]
    fn names_are_found_whatever_their_case() {
        let mut captures = Captures::new();
        assert_eq!(compile("BEGINSWITH", "ab").unwrap().matches(b"abc", &mut captures), Ok(true));
        assert_eq!(compile("RX", "^b").unwrap().matches(b"abc", &mut captures), Ok(false));
        assert_eq!(compile("unconditionalMatch", "").unwrap().matches(b"", &mut captures), Ok(true));
        assert_eq!(compile("noMatch", "").unwrap().matches(b"", &mut captures), Ok(false));
    }

    #[test]
    fn captures_of_an_earlier_match_are_forgotten() {
        let mut captures = Captures::new();
        compile("rx", "(a)").unwrap().matches(b"a", &mut captures).unwrap();
        assert_eq!(captures.len(), 2);
        compile("streq", "a").unwrap().matches(b"a", &mut captures).unwrap();
        assert!(captures.is_empty());
    }

    #[test]
    fn what_does_not_compile_says_why() {
        let message = |name: &str, argument: &str| compile(name, argument).unwrap_err().to_string();
        assert_eq!(message("rxx", ""), "unknown operator @rxx");
        assert_eq!(
            message("INSPECTFILE", "x"),
            "@inspectFile is not supported: it runs a program for each uploaded file"
        );
        assert_eq!(message("rx", "(a"), "@rx: a group is not closed at byte 2 of the pattern");
        assert_eq!(message("pmFromFile", "a.data"), "cannot read a.data: no such file");
    }

    #[test]
    fn what_the_engine_cannot_ask_fails_when_it_is_asked() {
        for (name, argument) in [("rbl", "dnsbl.example"), ("geoLookup", "")] {
            let failure =
                compile(name, argument).unwrap().matches(b"192.0.2.1", &mut Captures::new()).unwrap_err();
            assert!(matches!(failure, OperatorFailure::Unavailable { operator, .. } if operator == name));
        }
    }

    #[test]
    fn a_database_makes_geo_lookup_answer() {
        #[derive(Debug)]
        struct Atlas;
        impl Geo for Atlas {
            fn lookup(
                &self,
                address: std::net::IpAddr,
            ) -> Result<Option<Vec<(&'static str, String)>>, &'static str> {
                Ok((address.to_string() == "192.0.2.1").then(|| vec![("COUNTRY_CODE", "AT".to_owned())]))
            }
        }
        impl DataFiles for Atlas {
            fn read(&self, _: &str) -> Result<Vec<u8>, String> {
                Err("no such file".to_owned())
            }
            fn geo(&self) -> Option<Arc<dyn Geo>> {
                Some(Arc::new(Self))
            }
        }
        let operator = Operator::compile("geoLookup", "", &Atlas).unwrap();
        let mut captures = Captures::new();
        assert_eq!(operator.matches(b"192.0.2.1", &mut captures), Ok(true));
        assert_eq!(operator.located(b"192.0.2.1"), Ok(Some(vec![("COUNTRY_CODE", "AT".to_owned())])));
        assert_eq!(operator.matches(b"example.org", &mut captures), Ok(false));
    }

    proptest! {
        #[test]
        fn nothing_panics_on_any_pattern_or_input(
            pattern in r"[\\\[\](){}?*+|^$.<>!=:a-d0-9xiPQE,-]{0,24}",
            input in prop::collection::vec(any::<u8>(), 0..48),
        ) {
            let mut captures = Captures::new();
            for name in ["rx", "rxGlobal", "pm", "verifyCC", "ipMatch", "validateByteRange", "containsWord", "eq"] {
                if let Ok(operator) = compile(name, &pattern) {
                    let _ = operator.matches(&input, &mut captures);
                }
            }
            for name in ["detectSQLi", "detectXSS", "validateUtf8Encoding", "validateUrlEncoding"] {
                prop_assert!(compile(name, "").unwrap().matches(&input, &mut captures).is_ok());
            }
        }

        #[test]
        fn quoted_text_matches_itself_alone(text in "[ -~]{1,16}", other in "[ -~]{1,16}") {
            prop_assume!(!text.contains("\\E"));
            let operator = compile("rx", &format!("^\\Q{text}\\E$")).unwrap();
            let mut captures = Captures::new();
            prop_assert_eq!(operator.matches(text.as_bytes(), &mut captures), Ok(true));
            prop_assert_eq!(operator.matches(other.as_bytes(), &mut captures), Ok(text == other));
        }
    }
}
