//! What connection and request make known.

use std::borrow::Cow;

use super::Failure;
use super::data::{Data, Group};
use super::request_body::body_limits;
use super::state::State;
use crate::body;
use crate::program::BodyProcessor;
use crate::ruleset::Ruleset;
use crate::transaction::{Connection, RequestHead};
use crate::transform::Transformation;
use crate::variable::Variable;

/// What `MODSEC_BUILD` says: ModSecurity 3.0.0 in its own notation, two digits for each part. Rule sets ask for it to
/// find the language they are read with.
const BUILD: &[u8] = b"030000000";

/// Headers that more than REQUEST_HEADERS is read from, in lower case.
pub(super) const COOKIE: &[u8] = b"cookie";
pub(super) const AUTHORIZATION: &[u8] = b"authorization";

/// Variables that count or flag and are 0 before anything says otherwise.
const ZEROS: &[Variable] = &[
    Variable::ArgsCombinedSize,
    Variable::FilesCombinedSize,
    Variable::FullRequestLength,
    Variable::InboundDataError,
    Variable::MscPcreError,
    Variable::MscPcreLimitsExceeded,
    Variable::MultipartBoundaryQuoted,
    Variable::MultipartBoundaryWhitespace,
    Variable::MultipartCrlfLfLines,
    Variable::MultipartDataAfter,
    Variable::MultipartDataBefore,
    Variable::MultipartFileLimitExceeded,
    Variable::MultipartHeaderFolding,
    Variable::MultipartInvalidHeaderFolding,
    Variable::MultipartInvalidPart,
    Variable::MultipartInvalidQuoting,
    Variable::MultipartLfLine,
    Variable::MultipartMissingSemicolon,
    Variable::MultipartStrictError,
    Variable::MultipartUnmatchedBoundary,
    Variable::OutboundDataError,
    Variable::ReqbodyError,
    Variable::ReqbodyProcessorError,
    Variable::RequestBodyLength,
    Variable::ResponseContentLength,
    Variable::UrlencodedError,
];

/// Keeps what is known before the request.
pub(super) fn connection(data: &mut Data, ruleset: &Ruleset, conn: &Connection<'_>) -> Result<(), Failure> {
    data.set_flag(ZEROS[0], false)?;
    for zero in &ZEROS[1..] {
        data.alias(*zero, ZEROS[0]);
    }
    data.set(Variable::RemoteAddr, conn.client.ip().to_canonical().to_string().as_bytes())?;
    data.alias(Variable::RemoteHost, Variable::RemoteAddr);
    data.set_number(Variable::RemotePort, u64::from(conn.client.port()))?;
    data.set(Variable::ServerAddr, conn.server.ip().to_canonical().to_string().as_bytes())?;
    data.set_number(Variable::ServerPort, u64::from(conn.server.port()))?;
    data.set(Variable::UniqueId, conn.request_id.as_bytes())?;
    data.set(Variable::ModsecBuild, BUILD)?;
    data.set(Variable::WebAppId, ruleset.settings.web_app_id.as_bytes())
}

/// Keeps request line and headers.
pub(super) fn head(data: &mut Data, state: &mut State<'_>, head: &RequestHead<'_>) -> Result<(), Failure> {
    let RequestHead { method, target, protocol, headers } = head;
    data.set(Variable::RequestMethod, method)?;
    data.set(Variable::RequestProtocol, protocol)?;
    data.set(Variable::RequestUriRaw, target)?;
    data.set(Variable::RequestLine, &[method, &b" "[..], target, b" ", protocol].concat())?;
    let limits = body_limits(&state.ruleset.settings);
    uri(data, state, &limits, target)?;
    for (name, value) in *headers {
        data.add(Group::RequestHeaders, name, value)?;
        header(data, state, &limits, name, value)?;
    }
    data.count_arguments()
}

fn uri(data: &mut Data, state: &State<'_>, limits: &body::Limits, target: &[u8]) -> Result<(), Failure> {
    let relative = relative(target);
    let (path, query) = path_and_query(target);
    data.set(Variable::RequestUri, &percent_decoded(relative))?;
    let path = percent_decoded(path);
    data.set(Variable::RequestFilename, &path)?;
    data.alias(Variable::PathInfo, Variable::RequestFilename);
    if let Some(slash) = memchr::memrchr2(b'/', b'\\', &path) {
        data.set(Variable::RequestBasename, &path[slash + 1..])?;
    }
    data.set(Variable::QueryString, query)?;
    let parsed = body::urlencoded::parse(query, state.ruleset.settings.argument_separator, limits);
    data.set_flag(Variable::UrlencodedError, parsed.has_invalid_escape)?;
    arguments(data, Group::ArgsGet, &parsed.arguments)
}

/// Path and query of a target. The query begins at the first `?` of the raw target. ModSecurity looks for it in the
/// decoded one, which lets an encoded `?` hide the end of a path.
pub(super) fn path_and_query(target: &[u8]) -> (&[u8], &[u8]) {
    let relative = relative(target);
    match memchr::memchr(b'?', relative) {
        Some(at) => (&relative[..at], &relative[at + 1..]),
        None => (relative, &relative[relative.len()..]),
    }
}

/// `target` without authority and, as in ModSecurity v3, without a fragment, which no client should send (RFC 9112
/// section 3.2): REQUEST_URI_RAW alone shows it.
fn relative(target: &[u8]) -> &[u8] {
    let relative = without_authority(target);
    memchr::memchr(b'#', relative).map_or(relative, |at| &relative[..at])
}

/// Keeps arguments or cookies. In a head, where no rule looks for it, too many of them are too much to be judged.
fn arguments(data: &mut Data, group: Group, arguments: &body::Arguments<'_>) -> Result<(), Failure> {
    data.add_all(group, arguments)?;
    match arguments.error {
        Some(_) => Err(Failure::Limit("arguments or cookies of a request's head")),
        None => Ok(()),
    }
}

/// `target` without scheme and host, where it has them (RFC 9112 section 3.2.2, RFC 3986 section 3.1).
fn without_authority(target: &[u8]) -> &[u8] {
    let scheme =
        target.iter().take_while(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(byte)).count();
    match target[scheme..].strip_prefix(b"://") {
        Some(rest) if scheme > 0 => memchr::memchr2(b'/', b'?', rest).map_or(&b""[..], |path| &rest[path..]),
        _ => target,
    }
}

/// `%XX` decoded; `+` stays, which in a path is itself.
fn percent_decoded(text: &[u8]) -> Cow<'_, [u8]> {
    if memchr::memchr(b'%', text).is_none() {
        return Cow::Borrowed(text);
    }
    let pieces: Vec<_> =
        text.split(|byte| *byte == b'+').map(|piece| Transformation::UrlDecode.apply(piece)).collect();
    Cow::Owned(pieces.join(&b'+'))
}

fn header(
    data: &mut Data,
    state: &mut State<'_>,
    limits: &body::Limits,
    name: &[u8],
    value: &[u8],
) -> Result<(), Failure> {
    match name.to_ascii_lowercase().as_slice() {
        COOKIE => arguments(data, Group::RequestCookies, &body::cookies::parse(value, limits)),
        b"content-type" if state.processor.is_none() => {
            let value = value.to_ascii_lowercase();
            if value.starts_with(b"multipart/form-data") {
                state.processor = Some(BodyProcessor::Multipart);
            } else if value.starts_with(b"application/x-www-form-urlencoded") {
                state.processor = Some(BodyProcessor::Urlencoded);
            }
            Ok(())
        }
        b"host" => {
            let port =
                memchr::memrchr(b':', value).filter(|at| value[at + 1..].iter().all(u8::is_ascii_digit));
            data.set(Variable::ServerName, &value[..port.unwrap_or(value.len())])
        }
        AUTHORIZATION => authorization(data, value),
        _ => Ok(()),
    }
}

/// RFC 7617: `Basic` and the Base64 of `user:password`.
fn authorization(data: &mut Data, value: &[u8]) -> Result<(), Failure> {
    let value = value.trim_ascii();
    let end = value.iter().position(u8::is_ascii_whitespace).unwrap_or(value.len());
    let (scheme, credentials) = value.split_at(end);
    data.set(Variable::AuthType, scheme)?;
    if !scheme.eq_ignore_ascii_case(b"basic") {
        return Ok(());
    }
    let decoded = Transformation::Base64Decode.apply(credentials.trim_ascii());
    let user = decoded.split(|byte| *byte == b':').next().unwrap_or_default();
    data.set(Variable::RemoteUser, user)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_scheme_makes_a_host() {
        assert_eq!(without_authority(b"http://h:80/a?b"), b"/a?b");
        assert_eq!(without_authority(b"http://h?b"), b"?b");
        assert_eq!(without_authority(b"http://h"), b"");
        for target in [&b"/a?u=http://h/x"[..], b"a.php?u=http://h/x", b"://h/x", b"*", b"h:443", b""] {
            assert_eq!(without_authority(target), target);
        }
    }

    #[test]
    fn a_plus_in_a_path_is_itself() {
        assert_eq!(*percent_decoded(b"/a+b%20c%2bd+%zz"), *b"/a+b c+d+%zz");
        assert!(matches!(percent_decoded(b"/a+b"), Cow::Borrowed(_)));
    }
}
