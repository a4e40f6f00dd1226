//! Whole bodies, written with `|` for CRLF and `~` for a bare LF.

use super::*;
use crate::body::BodyErrorKind;
use proptest::prelude::*;

const CONTENT_TYPE: &[u8] = b"multipart/form-data; boundary=0000";

fn body(text: &str) -> Vec<u8> {
    text.replace('|', "\r\n").replace('~', "\n").into_bytes()
}

fn read(body: &[u8]) -> Multipart<'_> {
    parse(CONTENT_TYPE, body, &Limits::default())
}

fn arguments(multipart: &Multipart<'_>) -> Vec<(String, String)> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    multipart.arguments.iter().map(|argument| (text(&argument.name), text(&argument.value))).collect()
}

fn flags_of(text: &str) -> Flags {
    read(&body(text)).flags
}

/// One part `a` with the given headers and data.
fn part(headers: &str, data: &str) -> String {
    format!("--0000|{headers}|{data}|--0000--|")
}

const NAME: &str = "Content-Disposition: form-data; name=\"a\"|";

#[test]
fn arguments_and_files() {
    let body = body(
        "--0000|Content-Disposition: form-data; name=\"a\"||1~2||3|--0000|\
         Content-Type: image/jpeg|content-disposition: form-data; name=\"f\"; filename=\"x.jpg\"||DATA|--0000|\
         Content-Disposition: form-data; name=empty|||--0000--|",
    );
    let multipart = read(&body);
    assert_eq!(multipart.error, None);
    assert_eq!(
        arguments(&multipart),
        [("a".to_owned(), "1\n2\r\n\r\n3".to_owned()), ("empty".to_owned(), String::new())]
    );
    assert!(multipart.arguments.iter().all(|argument| matches!(argument.value, Cow::Borrowed(_))));
    let file = &multipart.files[0];
    assert_eq!(
        (&*file.name, &*file.filename, &body[file.content.clone()]),
        (&b"f"[..], &b"x.jpg"[..], &b"DATA"[..])
    );
    let lines: Vec<_> = multipart.part_headers.iter().map(|header| (&*header.part, &*header.line)).collect();
    assert_eq!(lines[1], (&b"f"[..], &b"Content-Type: image/jpeg"[..]));
    assert_eq!(lines.len(), 4);
    assert!(!multipart.flags.strict_error() && !multipart.flags.crlf_lf_lines());
    assert_eq!(multipart.flags.unmatched_boundary, Unmatched::Matched);
}

#[test]
fn the_last_line_may_lack_its_end() {
    let with = part(NAME, "1");
    for text in [with.as_str(), &with[..with.len() - 1], &with.replace("|1|", "||")] {
        let body = body(text);
        let multipart = read(&body[..]);
        assert_eq!((multipart.error, multipart.arguments.len()), (None, 1), "{text}");
    }
    let multipart = read(b"");
    assert_eq!(multipart, Multipart::default());
}

#[test]
fn a_body_that_is_cut_off_keeps_its_last_part() {
    let body = body(&format!("--0000|{NAME}|1|2"));
    let multipart = read(&body);
    assert_eq!(arguments(&multipart), [("a".to_owned(), "1\r\n2".to_owned())]);
    assert_eq!(multipart.error, Some(BodyError::malformed(body.len(), "the final boundary is missing")));
    assert!(multipart.flags.error && multipart.flags.strict_error());
}

#[test]
fn data_around_the_parts_is_flagged() {
    let plain = part(NAME, "1");
    assert!(!flags_of(&plain).data_before && !flags_of(&plain).data_after);
    assert!(flags_of(&format!("x|{plain}")).data_before);
    assert!(flags_of(&format!("{plain}x")).data_after);
    let body = body(&format!("{plain}{plain}"));
    assert_eq!(read(&body).arguments.len(), 1);
}

#[test]
fn line_ends_are_flagged() {
    let plain = part(NAME, "1");
    let all_lf = flags_of(&plain.replace('|', "~"));
    assert!(all_lf.lf_line && !all_lf.crlf_line && all_lf.strict_error());
    for (from, to) in [("--0000|C", "--0000~C"), ("\"|", "\"~"), ("1|--", "1~--"), ("--0000--|", "--0000--~")]
    {
        let mixed = flags_of(&plain.replace(from, to));
        assert!(mixed.crlf_lf_lines(), "{from}");
    }
}

#[test]
fn folding_is_joined_and_flagged() {
    let body = body(&part("Content-Disposition: form-data;|\t name=\"a\"|", "1"));
    let multipart = read(&body);
    assert_eq!((multipart.error, arguments(&multipart)), (None, vec![("a".to_owned(), "1".to_owned())]));
    assert!(multipart.flags.header_folding && !multipart.flags.invalid_header_folding);
    assert_eq!(&*multipart.part_headers[0].line, b"Content-Disposition: form-data; name=\"a\"");
    let odd = flags_of(&part("Content-Disposition: form-data;|\x0cname=\"a\"|", "1"));
    assert!(odd.invalid_header_folding);
}

#[test]
fn a_boundary_where_data_should_begin_is_flagged() {
    let flags = flags_of(&format!("--0000|{NAME}|--0000|{NAME}|1|--0000--|"));
    assert!(flags.invalid_part);
    let body = body(&format!("--0000|{NAME}|--0000--"));
    let multipart = read(&body);
    assert_eq!((multipart.error, multipart.flags.invalid_part), (None, true));
    assert_eq!(arguments(&multipart), [("a".to_owned(), String::new())]);
}

#[test]
fn lines_that_resemble_a_boundary_are_told() {
    let with = |data: &str| flags_of(&part(NAME, data)).unmatched_boundary;
    assert_eq!(with("x"), Unmatched::Matched);
    assert_eq!(flags_of(&format!("--0000|{NAME}|--other|")).unmatched_boundary, Unmatched::Foreign);
    assert_eq!(flags_of(&format!("--0000|{NAME}|x--0000|")).unmatched_boundary, Unmatched::Foreign);
    assert_eq!(flags_of(&format!("--0000|{NAME}|x")).unmatched_boundary, Unmatched::None);
    assert_eq!(with("--other"), Unmatched::Matched);
}

#[test]
fn what_cannot_be_read_in_one_way_is_an_error() {
    for (text, message) in [
        ("x|".to_owned(), "no boundary in the body"),
        (part("|", "1"), "a part without a content disposition"),
        (part("Content-Disposition: form-data|", "|1"), "a part without a name"),
        (part(&format!("{NAME}{NAME}"), "|1"), "a part header twice"),
        (part(&format!("{NAME}x|"), "|1"), "a part header without a colon"),
        (part(&format!("{NAME}:x|"), "|1"), "a part header without a name"),
        (part(&format!("{NAME}X\x0e: y|"), "|1"), headers::INVALID_NAME),
        (part(&format!("{NAME}X: \0|"), "|1"), "a NUL byte in a part header"),
        (part(&format!(" x|{NAME}"), "|1"), "a folded line before the first part header"),
        (format!("--0000|{NAME}|1|--0000x|"), "a boundary with something after it"),
        (format!("--0000|{NAME}|1|-- 0000|"), "white space before a boundary"),
        (format!("--0000|{NAME}X"), "a part header is cut off"),
    ] {
        let body = body(&text);
        let error = read(&body).error.map(|error| (error.kind, error.message));
        assert_eq!(error, Some((BodyErrorKind::Malformed, message)), "{text}");
    }
    let quoted = b"multipart/form-data; boundary=\"0000\"";
    let body = body(&format!("--0000|{NAME}|1|--\"0000\"|"));
    let error = parse(quoted, &body, &Limits::default()).error;
    assert_eq!(error.map(|error| error.message), Some("a boundary in quotes"));
}

#[test]
fn the_headers_of_a_faulty_part_stay_visible() {
    let body = body(&part(&format!("{NAME}X\x0e: y|Z: z|"), "|1"));
    let multipart = read(&body);
    let lines: Vec<_> = multipart.part_headers.iter().map(|header| (&*header.part, &*header.line)).collect();
    assert_eq!(lines[1..], [(&b""[..], &b"X\x0e: y"[..])]);
}

#[test]
fn limits_hold() {
    let limits = Limits {
        max_arguments: 1,
        max_files: 1,
        max_parts: 3,
        max_part_headers: 2,
        max_part_header_bytes: 60,
        ..Limits::default()
    };
    let read = |text: &str| {
        let body = body(text);
        let multipart = parse(CONTENT_TYPE, &body, &limits);
        (multipart.error.map(|error| error.message), multipart.flags.file_limit_exceeded)
    };
    let argument = format!("--0000|{NAME}|1|");
    let file = "--0000|Content-Disposition: form-data; name=a; filename=b||1|";
    assert_eq!(read(&format!("{argument}{file}--0000--|")), (None, false));
    assert_eq!(read(&format!("{argument}{argument}--0000--|")).0, Some("too many arguments"));
    assert_eq!(read(&format!("{file}{file}--0000--|")), (Some("too many files"), true));
    assert_eq!(read(&format!("{argument}{file}{}", "--0000|A: b|")).0, Some("the final boundary is missing"));
    assert_eq!(read(&format!("--0000|{NAME}B: c|D: e||1|--0000--|")).0, Some("a part has too many headers"));
    assert_eq!(
        read(&format!("--0000|{NAME} {}||1|--0000--|", "x".repeat(60))).0,
        Some("a part header is too long")
    );
}

proptest! {
    #[test]
    fn nothing_panics_and_nothing_is_invented(
        tokens in prop::collection::vec(prop::sample::select(vec![
            "--0000", "--0000--", "--", "\r\n", "\n", "\r", " ", ":", ";", "=", "\"", "'", "\\", "\0",
            "Content-Disposition: form-data", "name=", "filename=", "filename*=UTF-8''", "a", "b",
        ]), 0..40),
    ) {
        let body = tokens.concat().into_bytes();
        let multipart = read(&body);
        prop_assert!(multipart.error.is_none_or(|error| error.offset <= body.len()));
        for file in &multipart.files {
            prop_assert!(file.content.end <= body.len() && file.content.start <= file.content.end);
        }
        let values: usize = multipart.arguments.iter().map(|argument| argument.value.len()).sum();
        prop_assert!(values <= body.len());
    }

    #[test]
    fn any_content_type_and_body(content_type in any::<Vec<u8>>(), body in any::<Vec<u8>>()) {
        let multipart = parse(&content_type, &body, &Limits::default());
        prop_assert!(multipart.error.is_some() || body.is_empty());
    }

    #[test]
    fn values_arrive_as_they_were_sent(values in prop::collection::vec("[a-z\r\n -]{0,12}", 1..4)) {
        prop_assume!(values.iter().all(|value| !value.contains("--0000")));
        let parts = values.iter().map(|value| format!("--0000\r\nContent-Disposition: form-data; name=a\r\n\r\n{value}\r\n"));
        let body = format!("{}--0000--\r\n", parts.collect::<String>());
        let multipart = read(body.as_bytes());
        prop_assert_eq!(multipart.error, None);
        let read: Vec<_> = multipart.arguments.iter().map(|argument| &*argument.value).collect();
        prop_assert_eq!(read, values.iter().map(String::as_bytes).collect::<Vec<_>>());
    }
}
