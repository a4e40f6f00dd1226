//! Directives that set something for all rules, and those that set nothing here.

use super::actions::{engine_mode, on_off};
use crate::limits;
use crate::program::EngineMode;

/// What the rule set says about the engine.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// `SecRuleEngine`.
    pub(crate) engine: EngineMode,
    /// `SecRequestBodyAccess`.
    pub(crate) request_body_access: bool,
    /// `SecResponseBodyAccess`.
    pub(crate) response_body_access: bool,
    /// `SecResponseBodyMimeType`, in lower case.
    pub(crate) response_types: Vec<String>,
    /// `SecArgumentSeparator`.
    pub(crate) argument_separator: u8,
    /// `SecArgumentsLimit`.
    pub(crate) arguments: usize,
    /// `SecRequestBodyJsonDepthLimit`.
    pub(crate) json_depth: Option<usize>,
    /// `SecUploadFileLimit`.
    pub(crate) upload_files: Option<usize>,
    /// `SecWebAppId`.
    pub(crate) web_app_id: String,
    /// `SecCollectionTimeout`, in seconds.
    pub(crate) collection_timeout_s: u64,
}

/// What came of a directive.
pub(super) enum Applied {
    Set,
    /// It is read and changes nothing, for this reason.
    WithoutEffect(&'static str),
    /// It is none of these.
    Unknown,
}

impl Default for Settings {
    /// Engine and request bodies are on unless the rules say otherwise: whoever compiles rules wants them to see
    /// something. Types of response bodies are ModSecurity's.
    fn default() -> Self {
        Self {
            engine: EngineMode::On,
            request_body_access: true,
            response_body_access: false,
            response_types: vec!["text/plain".to_owned(), "text/html".to_owned()],
            argument_separator: b'&',
            arguments: limits::ARGUMENTS,
            json_depth: None,
            upload_files: None,
            web_app_id: String::new(),
            collection_timeout_s: limits::COLLECTION_TIMEOUT_S,
        }
    }
}

impl Settings {
    /// Applies directive `name`; `Err` if it cannot be.
    pub(super) fn apply(&mut self, name: &str, arguments: &[String]) -> Result<Applied, String> {
        let one = || match arguments {
            [argument] => Ok(argument.as_str()),
            _ => Err(format!("{name} takes one argument")),
        };
        match name.to_ascii_lowercase().as_str() {
            "secruleengine" => self.engine = engine_mode(one()?)?,
            "secrequestbodyaccess" => self.request_body_access = on_off(one()?)?,
            "secresponsebodyaccess" => self.response_body_access = on_off(one()?)?,
            "secresponsebodymimetype" => {
                self.response_types = arguments.iter().map(|mime| mime.to_ascii_lowercase()).collect();
            }
            "secresponsebodymimetypesclear" => self.response_types.clear(),
            "secargumentseparator" => match one()?.as_bytes() {
                [separator] => self.argument_separator = *separator,
                _ => return Err("an argument separator is one character".to_owned()),
            },
            "secargumentslimit" => self.arguments = number(one()?)?.min(limits::ARGUMENTS),
            "secrequestbodyjsondepthlimit" => self.json_depth = Some(number(one()?)?),
            "secuploadfilelimit" => self.upload_files = Some(number(one()?)?),
            "secwebappid" => one()?.clone_into(&mut self.web_app_id),
            "seccollectiontimeout" => self.collection_timeout_s = number(one()?)? as u64,
            "seccookieformat" if one()? == "0" => {}
            "secxmlexternalentity" if !on_off(one()?)? => {}
            other => match NO_EFFECT.iter().find(|(known, _)| known.eq_ignore_ascii_case(other)) {
                Some((_, why)) => return Ok(Applied::WithoutEffect(why)),
                None => match UNSUPPORTED.iter().find(|(known, _)| known.eq_ignore_ascii_case(other)) {
                    Some((_, why)) => return Err(format!("{name} is not supported: {why}")),
                    None => return Ok(Applied::Unknown),
                },
            },
        }
        Ok(Applied::Set)
    }
}

fn number(text: &str) -> Result<usize, String> {
    text.parse().map_err(|_| "expected a number".to_owned())
}

/// Directives that are read and change nothing, each with its reason.
const NO_EFFECT: &[(&str, &str)] = &[
    ("SecAuditEngine", RECORD),
    ("SecAuditLog", RECORD),
    ("SecAuditLog2", RECORD),
    ("SecAuditLogDirMode", RECORD),
    ("SecAuditLogFileMode", RECORD),
    ("SecAuditLogFormat", RECORD),
    ("SecAuditLogParts", RECORD),
    ("SecAuditLogPrefix", RECORD),
    ("SecAuditLogRelevantStatus", RECORD),
    ("SecAuditLogStorageDir", RECORD),
    ("SecAuditLogType", RECORD),
    ("SecCacheTransformations", "every form of a value is kept for its transaction"),
    ("SecChrootDir", "the process is confined from outside"),
    ("SecConnEngine", "connections are limited by the edge"),
    ("SecConnReadStateLimit", "connections are limited by the edge"),
    ("SecConnWriteStateLimit", "connections are limited by the edge"),
    ("SecContentInjection", "bodies are not rewritten, and the actions that would are errors"),
    ("SecDataDir", "nothing is stored in files"),
    ("SecDebugLog", "nothing is logged for debugging"),
    ("SecDebugLogLevel", "nothing is logged for debugging"),
    ("SecDisableBackendCompression", "what backends are asked for is the edge's to say"),
    ("SecHttpBlKey", "no DNS is asked; rules that would ask refuse when they run"),
    ("SecInterceptOnError", "an error always refuses"),
    ("SecPcreMatchLimit", "patterns have limits of their own, in steps and in size"),
    ("SecPcreMatchLimitRecursion", "patterns have limits of their own, in steps and in size"),
    ("SecRequestBodyInMemoryLimit", LIMITS),
    ("SecRequestBodyLimit", LIMITS),
    ("SecRequestBodyLimitAction", LIMITS),
    ("SecRequestBodyNoFilesLimit", LIMITS),
    ("SecResponseBodyLimit", LIMITS),
    ("SecResponseBodyLimitAction", LIMITS),
    ("SecSensorId", RECORD),
    ("SecServerSignature", "response headers are the edge's to say"),
    ("SecStatusEngine", "nobody is told about this installation"),
    ("SecTmpDir", UPLOADS),
    ("SecTmpSaveUploadedFiles", UPLOADS),
    ("SecUnicodeCodePage", "full-width ASCII is always decoded"),
    ("SecUnicodeMapFile", "full-width ASCII is always decoded"),
    ("SecUploadDir", UPLOADS),
    ("SecUploadFileMode", UPLOADS),
    ("SecUploadKeepFiles", UPLOADS),
];

const RECORD: &str = "one record per transaction is the audit log";
const LIMITS: &str = "how much of a body is kept and inspected is the edge's limit, per tenant";
const UPLOADS: &str = "uploads are never written to files";

/// Directives that would change what is judged, and cannot.
const UNSUPPORTED: &[(&str, &str)] = &[
    ("SecCookieFormat", "version 1 cookies are history; the format is 0"),
    ("SecCookieV0Separator", "cookies are separated by a semicolon"),
    ("SecGeoLookupDb", "there is no geographical database"),
    ("SecGsbLookupDb", "there is no safe-browsing database"),
    ("SecGuardianLog", "rules run no programs"),
    ("SecHashEngine", "bodies are not rewritten"),
    ("SecHashKey", "bodies are not rewritten"),
    ("SecHashMethodPm", "bodies are not rewritten"),
    ("SecHashMethodRx", "bodies are not rewritten"),
    ("SecHashParam", "bodies are not rewritten"),
    ("SecParseXmlIntoArgs", "XML is looked at with XML:/* and XML://@*"),
    ("SecRemoteRules", "rules are not fetched from elsewhere"),
    ("SecRemoteRulesFailAction", "rules are not fetched from elsewhere"),
    ("SecRuleInheritance", "there is one context"),
    ("SecRulePerfTime", "time per rule is not measured"),
    ("SecRuleScript", "there is no Lua"),
    ("SecStreamInBodyInspection", "bodies are not rewritten"),
    ("SecStreamOutBodyInspection", "bodies are not rewritten"),
    ("SecXmlExternalEntity", "external entities are never loaded"),
];
