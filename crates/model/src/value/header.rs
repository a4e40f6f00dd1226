//! Parts of a request head: header names and values, methods (RFC 9110 sections 5.1, 5.5 and 9.1).

use std::str::FromStr;

use super::{Invalid, checked_text, default_text, shown, text_value};

/// Longest header name or method, in bytes.
const MAX_TOKEN: usize = 128;

/// Longest header value in a document, in bytes.
const MAX_VALUE: usize = 4096;

checked_text! {
    /// A header's or cookie's name, in the lower case that HTTP/2 demands for headers.
    HeaderName
}

checked_text! {
    /// A header's value: visible ASCII, spaces and tabs inside.
    HeaderText
}

checked_text! {
    /// A cookie's or query parameter's name, in which case counts.
    ParameterName
}

checked_text! {
    /// A request method, such as `GET`.
    Method
}

default_text!(HeaderName, HeaderText);

/// `tchar` of RFC 9110 section 5.6.2.
fn is_token(text: &str) -> bool {
    (1..=MAX_TOKEN).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

impl FromStr for HeaderName {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        if !is_token(text) {
            return Err(Invalid::new(
                format!("`{}` is not a header name", shown(text)),
                "write a name such as `x-env`",
            ));
        }
        if text.bytes().any(|b| b.is_ascii_uppercase()) {
            let lower = text.to_ascii_lowercase();
            return Err(Invalid::new(format!("`{text}` is not lower case"), format!("write `{lower}`")));
        }
        Ok(Self(text.into()))
    }
}

impl FromStr for ParameterName {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let plain = text.bytes().all(|b| b.is_ascii_graphic() && !b"&=;,+%#\"".contains(&b));
        if plain && (1..=MAX_TOKEN).contains(&text.len()) {
            return Ok(Self(text.into()));
        }
        Err(Invalid::new(
            format!("`{}` is not the name of a cookie or parameter", shown(text)),
            "write a name such as `session`, without any encoding",
        ))
    }
}

impl FromStr for HeaderText {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let visible = text.bytes().all(|b| matches!(b, b' '..=b'~' | b'\t'));
        if visible && text.len() <= MAX_VALUE && text.trim() == text {
            return Ok(Self(text.into()));
        }
        let hint = "use up to 4096 visible ASCII characters, without spaces at the ends";
        Err(Invalid::new(format!("`{}` is not a header value", shown(text)), hint))
    }
}

impl FromStr for Method {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        if is_token(text) && !text.bytes().any(|b| b.is_ascii_lowercase()) {
            return Ok(Self(text.into()));
        }
        Err(Invalid::new(
            format!("`{}` is not a method", shown(text)),
            "write a method in upper case, such as `GET`",
        ))
    }
}

text_value!(HeaderName, "a header name", {
    "type": "string",
    "maxLength": 128,
    "pattern": "^[a-z0-9!#$%&'*+.^_`|~-]+$",
    "description": "Header or cookie name, in lower case.",
    "examples": ["x-env"]
});

text_value!(ParameterName, "the name of a cookie or parameter", {
    "type": "string",
    "maxLength": 128,
    "pattern": "^[!$'()*./0-9:<>?@A-Z\\[\\\\\\]^_`a-z{|}~-]+$",
    "description": "Name of a cookie or query parameter, in which case counts.",
    "examples": ["session"]
});

text_value!(HeaderText, "a header value", {
    "type": "string",
    "maxLength": 4096,
    "pattern": "^([!-~]([\\t -~]*[!-~])?)?$",
    "description": "Header value in visible ASCII."
});

text_value!(Method, "a method", {
    "type": "string",
    "maxLength": 128,
    "pattern": "^[A-Z0-9!#$%&'*+.^_`|~-]+$",
    "description": "Request method, in upper case.",
    "examples": ["GET", "POST"]
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_carry_no_separators() {
        assert!("x-env".parse::<HeaderName>().is_ok());
        assert_eq!("X-Env".parse::<HeaderName>().unwrap_err().hint, "write `x-env`");
        for bad in ["", "a b", "a:b", "a\r\nb", "é"] {
            assert!(bad.parse::<HeaderName>().is_err(), "{bad}");
            assert!(bad.parse::<Method>().is_err(), "{bad}");
        }
        assert!("get".parse::<Method>().is_err());
    }

    #[test]
    fn names_of_parameters_keep_their_case_and_are_not_encoded() {
        for good in ["PHPSESSID", "api_key", "filter[key]", "a.b"] {
            assert_eq!(good.parse::<ParameterName>().unwrap().as_str(), good);
        }
        for bad in ["", "a b", "a=b", "a&b", "a;b", "a%20b", "a+b", "é", &"a".repeat(129)] {
            assert!(bad.parse::<ParameterName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn values_cannot_split_a_head() {
        assert!("text/plain; charset=utf-8".parse::<HeaderText>().is_ok());
        for bad in ["a\r\nb: c", "\0", " a", "é"] {
            assert!(bad.parse::<HeaderText>().is_err(), "{bad}");
        }
    }
}
