//! What the request's body makes known: it is read as its processor says.

use super::Failure;
use super::data::{Data, Group};
use super::state::State;
use crate::body::{self, BodyError, Limits};
use crate::compile::Settings;
use crate::program::BodyProcessor;
use crate::variable::Variable;

/// How much of bodies, queries and cookies is read.
pub(super) fn body_limits(settings: &Settings) -> Limits {
    let defaults = Limits::default();
    Limits {
        max_arguments: settings.arguments,
        max_json_depth: settings.json_depth.unwrap_or(defaults.max_json_depth),
        max_files: settings.upload_files.unwrap_or(defaults.max_files),
        ..defaults
    }
}

/// Keeps the body and what its processor reads in it. `complete` is false for a prefix, whose end is no error.
pub(super) fn read(data: &mut Data, state: &State<'_>, body: &[u8], complete: bool) -> Result<(), Failure> {
    data.set_number(Variable::RequestBodyLength, body.len() as u64)?;
    full_request(data, state, body)?;
    let mut limits = body_limits(&state.ruleset.settings);
    limits.max_arguments = limits.max_arguments.saturating_sub(data.members(Group::ArgsGet).len());
    let error = match state.processor {
        Some(_) if body.is_empty() => None,
        Some(BodyProcessor::Urlencoded) => urlencoded(data, state, &limits, body)?,
        Some(BodyProcessor::Json) => {
            let parsed = body::json::parse(body, &limits);
            data.add_all(Group::ArgsPost, &parsed)?;
            parsed.error
        }
        Some(BodyProcessor::Xml) => xml(data, &limits, body)?,
        Some(BodyProcessor::Multipart) => multipart(data, &limits, body)?,
        None => None,
    };
    let is_cut = |error: &BodyError| !complete && error.offset >= body.len();
    let error = error.filter(|error| !is_cut(error));
    // As the reference manual has it, REQUEST_BODY is not there when parts or XML are looked at instead. It is for JSON,
    // whose arguments show no names of empty objects and of arrays; and for whatever could not be read.
    if error.is_some() || !matches!(state.processor, Some(BodyProcessor::Multipart | BodyProcessor::Xml)) {
        data.set(Variable::RequestBody, body)?;
    }
    if let (Some(error), Some(processor)) = (error, state.processor) {
        let message = format!("{} parsing error: {error}", title(processor));
        data.set_flag(Variable::ReqbodyError, true)?;
        data.set(Variable::ReqbodyErrorMsg, message.as_bytes())?;
        data.alias(Variable::ReqbodyProcessorError, Variable::ReqbodyError);
        data.alias(Variable::ReqbodyProcessorErrorMsg, Variable::ReqbodyErrorMsg);
    }
    data.count_arguments()
}

/// What ModSecurity calls a processor in its messages; rule sets look for the words.
fn title(processor: BodyProcessor) -> &'static str {
    match processor {
        BodyProcessor::Urlencoded => "URLENCODED",
        BodyProcessor::Multipart => "Multipart",
        BodyProcessor::Json => "JSON",
        BodyProcessor::Xml => "XML",
    }
}

/// Headers and body in one, for rule sets that look at it.
fn full_request(data: &mut Data, state: &State<'_>, body: &[u8]) -> Result<(), Failure> {
    if !state.is_read(Variable::FullRequest) && !state.is_read(Variable::FullRequestLength) {
        return Ok(());
    }
    let mut full = Vec::new();
    for header in data.members(Group::RequestHeaders) {
        full.extend_from_slice(data.get(header.key));
        full.extend_from_slice(b": ");
        full.extend_from_slice(data.get(header.value));
        full.push(b'\n');
    }
    full.extend_from_slice(b"\n\n");
    full.extend_from_slice(body);
    data.set_number(Variable::FullRequestLength, full.len() as u64)?;
    data.set(Variable::FullRequest, &full)
}

fn urlencoded(
    data: &mut Data,
    state: &State<'_>,
    limits: &Limits,
    body: &[u8],
) -> Result<Option<BodyError>, Failure> {
    let parsed = body::urlencoded::parse(body, state.ruleset.settings.argument_separator, limits);
    if parsed.has_invalid_escape {
        data.set_flag(Variable::UrlencodedError, true)?;
    }
    data.add_all(Group::ArgsPost, &parsed.arguments)?;
    Ok(parsed.arguments.error)
}

fn xml(data: &mut Data, limits: &Limits, body: &[u8]) -> Result<Option<BodyError>, Failure> {
    let parsed = body::xml::parse(body, limits);
    if let Some(text) = &parsed.text {
        data.add(Group::Xml, b"/*", text)?;
    }
    for attribute in &parsed.attributes {
        data.add(Group::Xml, b"//@*", attribute)?;
    }
    Ok(parsed.error)
}

fn multipart(data: &mut Data, limits: &Limits, body: &[u8]) -> Result<Option<BodyError>, Failure> {
    let is_type = |name: &[u8]| name.eq_ignore_ascii_case(b"content-type");
    let header = data.members(Group::RequestHeaders).iter().find(|header| is_type(data.get(header.key)));
    let content_type = header.map_or(&b""[..], |header| data.get(header.value)).to_vec();
    let parsed = body::multipart::parse(&content_type, body, limits);
    for argument in &parsed.arguments {
        data.add(Group::ArgsPost, &argument.name, &argument.value)?;
        data.add(Group::PartNames, &argument.name, &argument.name)?;
    }
    let mut size = 0;
    for file in &parsed.files {
        let content = body.get(file.content.clone()).unwrap_or_default();
        size += content.len();
        data.add(Group::Files, &file.name, &file.filename)?;
        data.add(Group::FileSizes, &file.name, content.len().to_string().as_bytes())?;
        data.add(Group::FileContents, &file.name, content)?;
        data.add(Group::PartNames, &file.name, &file.name)?;
        data.add(Group::PartFilenames, &file.name, &file.filename)?;
    }
    data.set_number(Variable::FilesCombinedSize, size as u64)?;
    for header in &parsed.part_headers {
        data.add(Group::PartHeaders, &header.part, &header.line)?;
    }
    multipart_flags(data, &parsed.flags)?;
    Ok(parsed.error)
}

fn multipart_flags(data: &mut Data, flags: &body::multipart::Flags) -> Result<(), Failure> {
    data.set_number(Variable::MultipartUnmatchedBoundary, flags.unmatched_boundary as u64)?;
    for (variable, on) in [
        (Variable::MultipartBoundaryQuoted, flags.boundary_quoted),
        (Variable::MultipartBoundaryWhitespace, flags.boundary_whitespace),
        (Variable::MultipartCrlfLfLines, flags.crlf_lf_lines()),
        (Variable::MultipartDataAfter, flags.data_after),
        (Variable::MultipartDataBefore, flags.data_before),
        (Variable::MultipartFileLimitExceeded, flags.file_limit_exceeded),
        (Variable::MultipartHeaderFolding, flags.header_folding),
        (Variable::MultipartInvalidHeaderFolding, flags.invalid_header_folding),
        (Variable::MultipartInvalidPart, flags.invalid_part),
        (Variable::MultipartInvalidQuoting, flags.invalid_quoting),
        (Variable::MultipartLfLine, flags.lf_line),
        (Variable::MultipartMissingSemicolon, flags.missing_semicolon),
        (Variable::MultipartStrictError, flags.strict_error()),
    ] {
        data.set_flag(variable, on)?;
    }
    Ok(())
}
