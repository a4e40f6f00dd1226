//! What the response's head makes known.

use super::Failure;
use super::data::{Data, Group};
use crate::compile::Settings;
use crate::transaction::ResponseHead;
use crate::variable::Variable;

/// Keeps status and headers.
pub(super) fn head(data: &mut Data, head: &ResponseHead<'_>) -> Result<(), Failure> {
    data.set_number(Variable::ResponseStatus, u64::from(head.status))?;
    data.alias(Variable::Status, Variable::ResponseStatus);
    data.set(Variable::ResponseProtocol, head.protocol)?;
    let status_line = [head.protocol, b" ", head.status.to_string().as_bytes()].concat();
    data.set(Variable::StatusLine, &status_line)?;
    for (name, value) in head.headers {
        data.add(Group::ResponseHeaders, name, value)?;
        if name.eq_ignore_ascii_case(b"content-type") {
            let mime = value.split(|byte| *byte == b';').next().unwrap_or_default();
            data.set(Variable::ResponseContentType, mime.trim_ascii())?;
        }
    }
    Ok(())
}

/// Whether the response's type is one that `SecResponseBodyMimeType` names.
pub(super) fn is_inspected(data: &Data, settings: &Settings) -> bool {
    let mime = data.get(data.scalar(Variable::ResponseContentType));
    settings.response_types.iter().any(|inspected| inspected.as_bytes().eq_ignore_ascii_case(mime))
}
