//! What an input must have for an operator to match it: see [`filter`](crate::filter).

use super::{Kind, Operator, RuntimeOperator};
use crate::alphabet::Alphabet;
use crate::filter::Need;
use crate::sqli;

impl Operator {
    /// Conditions on every input that the operator matches, or on which it fails. Nothing known is no condition.
    pub(crate) fn need(&self) -> Need {
        match &self.kind {
            Kind::ByteRange(range) => Need::byte_of(range.outside()),
            // Every way in which markup runs a script has a tag or an attribute with a value: all of libinjection's
            // verdicts come from a tag, a comment or a declaration, which begin with `<`, or from an attribute's value,
            // which comes behind `=`.
            Kind::DetectXss => Need::byte_of(Alphabet::of(b"<=")),
            Kind::Phrases(phrases) => phrases.need().clone(),
            Kind::Rx(pattern) | Kind::RxGlobal(pattern) => pattern.need(),
            Kind::UrlEncoding => Need::byte_of(Alphabet::of(b"%")),
            // ASCII is valid UTF-8.
            Kind::Utf8Encoding => Need::byte_of(Alphabet::range(0x80, 0xff)),
            Kind::Verify(verifier) => verifier.need(),
            Kind::Runtime(operator, argument) => operator.need(argument),
            // One token is no injection.
            Kind::DetectSqli => Need::byte_of(sqli::TWO_TOKENS),
            Kind::GeoLookup(_) | Kind::IpMatch(_) | Kind::NoMatch | Kind::Rbl | Kind::UnconditionalMatch => {
                Need::default()
            }
        }
    }
}

impl RuntimeOperator {
    fn need(self, argument: &[u8]) -> Need {
        match self {
            Self::BeginsWith
            | Self::Contains
            | Self::ContainsWord
            | Self::EndsWith
            | Self::StrEq
            | Self::StrMatch => Need::one_of(&[argument]),
            // `Rx` is compiled where its argument is fixed; the others match inputs that hold nothing in particular.
            Self::Rx
            | Self::RxGlobal
            | Self::Within
            | Self::Eq
            | Self::Ge
            | Self::Gt
            | Self::Le
            | Self::Lt => Need::default(),
        }
    }
}
