//! The variables that rules look at.
//!
//! Names and meanings are ModSecurity v3's (reference manual, "Variables"). A name that is not here is a compile
//! error; one that a proxy cannot know is an error that says why.

macro_rules! variables {
    ($($(#[$doc:meta])* $variant:ident = $name:literal $kind:ident;)*) => {
        /// A variable, scalar or collection.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub(crate) enum Variable {
            $($(#[$doc])* $variant,)*
        }

        impl Variable {
            /// How many there are.
            pub(crate) const COUNT: usize = [$($name,)*].len();

            /// The variable that SecLang calls `name`, in capitals.
            pub(crate) fn from_name(name: &str) -> Option<Self> {
                match name {
                    $($name => Some(Self::$variant),)*
                    _ => None,
                }
            }

            /// The name, in capitals.
            pub(crate) fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// Whether it has members, which a selector picks from.
            pub(crate) fn is_collection(self) -> bool {
                match self {
                    $(Self::$variant => variables!(@ $kind),)*
                }
            }
        }
    };
    (@ many) => { true };
    (@ one) => { false };
}

variables! {
    /// Arguments of query and body.
    Args = "ARGS" many;
    /// Bytes of all names and values of arguments.
    ArgsCombinedSize = "ARGS_COMBINED_SIZE" one;
    /// Arguments of the query.
    ArgsGet = "ARGS_GET" many;
    /// Names of the query's arguments.
    ArgsGetNames = "ARGS_GET_NAMES" many;
    /// Names of all arguments.
    ArgsNames = "ARGS_NAMES" many;
    /// Arguments of the body.
    ArgsPost = "ARGS_POST" many;
    /// Names of the body's arguments.
    ArgsPostNames = "ARGS_POST_NAMES" many;
    /// Scheme of the `Authorization` header.
    AuthType = "AUTH_TYPE" one;
    /// Milliseconds since the transaction began, to the microsecond.
    Duration = "DURATION" one;
    /// What `setenv` set: the transaction's own, never the process's.
    Env = "ENV" many;
    /// File names of uploads, by field.
    Files = "FILES" many;
    /// Bytes of all uploads.
    FilesCombinedSize = "FILES_COMBINED_SIZE" one;
    /// Fields that carry uploads.
    FilesNames = "FILES_NAMES" many;
    /// Bytes of each upload, by field.
    FilesSizes = "FILES_SIZES" many;
    /// Content of each upload, by field.
    FilesTmpContent = "FILES_TMP_CONTENT" many;
    /// Headers and body.
    FullRequest = "FULL_REQUEST" one;
    /// Bytes of `FULL_REQUEST`.
    FullRequestLength = "FULL_REQUEST_LENGTH" one;
    /// What `@geoLookup` found.
    Geo = "GEO" many;
    /// Collection of `initcol:global`.
    Global = "GLOBAL" many;
    /// The worst severity of a matched rule so far; 255 before the first.
    HighestSeverity = "HIGHEST_SEVERITY" one;
    /// 1 when the request body was longer than what is inspected.
    InboundDataError = "INBOUND_DATA_ERROR" one;
    /// Collection of `initcol:ip`.
    Ip = "IP" many;
    /// The value matched last.
    MatchedVar = "MATCHED_VAR" one;
    /// Its name.
    MatchedVarName = "MATCHED_VAR_NAME" one;
    /// All values matched by the current chain.
    MatchedVars = "MATCHED_VARS" many;
    /// Their names.
    MatchedVarsNames = "MATCHED_VARS_NAMES" many;
    /// Number that stands for the engine's version.
    ModsecBuild = "MODSEC_BUILD" one;
    /// 1 when a pattern could not be run: such a transaction is refused before a rule can ask.
    MscPcreError = "MSC_PCRE_ERROR" one;
    /// 1 when a pattern gave up: such a transaction is refused before a rule can ask.
    MscPcreLimitsExceeded = "MSC_PCRE_LIMITS_EXCEEDED" one;
    /// The boundary parameter was quoted.
    MultipartBoundaryQuoted = "MULTIPART_BOUNDARY_QUOTED" one;
    /// White space around the boundary parameter.
    MultipartBoundaryWhitespace = "MULTIPART_BOUNDARY_WHITESPACE" one;
    /// Both CRLF and LF end lines.
    MultipartCrlfLfLines = "MULTIPART_CRLF_LF_LINES" one;
    /// Data behind the last boundary.
    MultipartDataAfter = "MULTIPART_DATA_AFTER" one;
    /// Data before the first boundary.
    MultipartDataBefore = "MULTIPART_DATA_BEFORE" one;
    /// File names as sent, by field.
    MultipartFilename = "MULTIPART_FILENAME" many;
    /// More files than allowed.
    MultipartFileLimitExceeded = "MULTIPART_FILE_LIMIT_EXCEEDED" one;
    /// A folded header.
    MultipartHeaderFolding = "MULTIPART_HEADER_FOLDING" one;
    /// A header folded with something other than white space.
    MultipartInvalidHeaderFolding = "MULTIPART_INVALID_HEADER_FOLDING" one;
    /// A part that is not well formed.
    MultipartInvalidPart = "MULTIPART_INVALID_PART" one;
    /// Quoting that readers disagree about.
    MultipartInvalidQuoting = "MULTIPART_INVALID_QUOTING" one;
    /// A line that LF alone ends.
    MultipartLfLine = "MULTIPART_LF_LINE" one;
    /// A missing semicolon.
    MultipartMissingSemicolon = "MULTIPART_MISSING_SEMICOLON" one;
    /// Field names of multipart parts.
    MultipartName = "MULTIPART_NAME" many;
    /// Header lines of parts, by field.
    MultipartPartHeaders = "MULTIPART_PART_HEADERS" many;
    /// Any of the strictness flags.
    MultipartStrictError = "MULTIPART_STRICT_ERROR" one;
    /// Something looks like a boundary and is not the one: 1 a line with another, 2 one inside data.
    MultipartUnmatchedBoundary = "MULTIPART_UNMATCHED_BOUNDARY" one;
    /// 1 when the response body was longer than what is inspected.
    OutboundDataError = "OUTBOUND_DATA_ERROR" one;
    /// The path, decoded.
    PathInfo = "PATH_INFO" one;
    /// The query, raw.
    QueryString = "QUERY_STRING" one;
    /// The client's address.
    RemoteAddr = "REMOTE_ADDR" one;
    /// The same: no names are looked up.
    RemoteHost = "REMOTE_HOST" one;
    /// The client's port.
    RemotePort = "REMOTE_PORT" one;
    /// User of a `Basic` authorization.
    RemoteUser = "REMOTE_USER" one;
    /// 1 when the body did not parse.
    ReqbodyError = "REQBODY_ERROR" one;
    /// Why it did not.
    ReqbodyErrorMsg = "REQBODY_ERROR_MSG" one;
    /// How the body is read: URLENCODED, MULTIPART, JSON, XML or nothing.
    ReqbodyProcessor = "REQBODY_PROCESSOR" one;
    /// 1 when the body did not parse.
    ReqbodyProcessorError = "REQBODY_PROCESSOR_ERROR" one;
    /// Why it did not.
    ReqbodyProcessorErrorMsg = "REQBODY_PROCESSOR_ERROR_MSG" one;
    /// Last segment of the path, decoded.
    RequestBasename = "REQUEST_BASENAME" one;
    /// The body, raw.
    RequestBody = "REQUEST_BODY" one;
    /// Its bytes.
    RequestBodyLength = "REQUEST_BODY_LENGTH" one;
    /// Cookies.
    RequestCookies = "REQUEST_COOKIES" many;
    /// Names of cookies.
    RequestCookiesNames = "REQUEST_COOKIES_NAMES" many;
    /// The path, decoded.
    RequestFilename = "REQUEST_FILENAME" one;
    /// Headers.
    RequestHeaders = "REQUEST_HEADERS" many;
    /// Names of headers.
    RequestHeadersNames = "REQUEST_HEADERS_NAMES" many;
    /// Method, target and protocol, raw.
    RequestLine = "REQUEST_LINE" one;
    /// The method.
    RequestMethod = "REQUEST_METHOD" one;
    /// The protocol, such as `HTTP/1.1`.
    RequestProtocol = "REQUEST_PROTOCOL" one;
    /// Path and query, decoded once, without scheme and host.
    RequestUri = "REQUEST_URI" one;
    /// The target, raw.
    RequestUriRaw = "REQUEST_URI_RAW" one;
    /// Collection of `initcol:resource`.
    Resource = "RESOURCE" many;
    /// The response's body.
    ResponseBody = "RESPONSE_BODY" one;
    /// Its bytes.
    ResponseContentLength = "RESPONSE_CONTENT_LENGTH" one;
    /// Its type, without parameters.
    ResponseContentType = "RESPONSE_CONTENT_TYPE" one;
    /// Headers of the response.
    ResponseHeaders = "RESPONSE_HEADERS" many;
    /// Names of the response's headers.
    ResponseHeadersNames = "RESPONSE_HEADERS_NAMES" many;
    /// Protocol of the response.
    ResponseProtocol = "RESPONSE_PROTOCOL" one;
    /// Status of the response.
    ResponseStatus = "RESPONSE_STATUS" one;
    /// The current rule: `id`, `rev`, `severity`, `logdata`, `msg`; texts with macros as written.
    Rule = "RULE" many;
    /// The address that the client connected to.
    ServerAddr = "SERVER_ADDR" one;
    /// Host without port.
    ServerName = "SERVER_NAME" one;
    /// The port that the client connected to.
    ServerPort = "SERVER_PORT" one;
    /// Collection of `setsid`.
    Session = "SESSION" many;
    /// Value of `setsid`.
    SessionId = "SESSIONID" one;
    /// Status of the response.
    Status = "STATUS" one;
    /// Status line of the response.
    StatusLine = "STATUS_LINE" one;
    /// Time of day, UTC, `HH:MM:SS`.
    Time = "TIME" one;
    /// Day of the month, 1-31.
    TimeDay = "TIME_DAY" one;
    /// Seconds since 1970.
    TimeEpoch = "TIME_EPOCH" one;
    /// Hour, 0-23.
    TimeHour = "TIME_HOUR" one;
    /// Minute, 0-59.
    TimeMin = "TIME_MIN" one;
    /// Month, 0-11 as in C.
    TimeMon = "TIME_MON" one;
    /// Second, 0-59.
    TimeSec = "TIME_SEC" one;
    /// Day of the week, 0 is Sunday.
    TimeWday = "TIME_WDAY" one;
    /// Year.
    TimeYear = "TIME_YEAR" one;
    /// The transaction's own variables.
    Tx = "TX" many;
    /// The request's id.
    UniqueId = "UNIQUE_ID" one;
    /// 1 when a percent sign stood without two digits behind it.
    UrlencodedError = "URLENCODED_ERROR" one;
    /// Collection of `setuid`.
    User = "USER" many;
    /// Value of `setuid`.
    UserId = "USERID" one;
    /// Value of `SecWebAppId`.
    WebAppId = "WEBAPPID" one;
    /// Text (`/*`) and attributes (`//@*`) of an XML body.
    Xml = "XML" many;
}

/// Variables of ModSecurity that stay out of reach here, and why.
const UNKNOWABLE: &[(&str, &str)] = &[
    ("FILES_TMPNAMES", "uploads are never written to files; look at FILES_TMP_CONTENT"),
    ("SCRIPT_BASENAME", "a proxy runs no scripts"),
    ("SCRIPT_FILENAME", "a proxy runs no scripts"),
    ("SCRIPT_GID", "a proxy runs no scripts"),
    ("SCRIPT_GROUPNAME", "a proxy runs no scripts"),
    ("SCRIPT_MODE", "a proxy runs no scripts"),
    ("SCRIPT_UID", "a proxy runs no scripts"),
    ("SCRIPT_USERNAME", "a proxy runs no scripts"),
    ("STREAM_INPUT_BODY", "bodies are not rewritten; look at REQUEST_BODY"),
    ("STREAM_OUTPUT_BODY", "bodies are not rewritten; look at RESPONSE_BODY"),
    ("WEBSERVER_ERROR_LOG", "there is no web server behind this name"),
];

impl Variable {
    /// Reads a name in any case; `Err` says why there is none.
    pub(crate) fn parse(name: &str) -> Result<Self, String> {
        let name = name.to_ascii_uppercase();
        Self::from_name(&name).ok_or_else(|| {
            match UNKNOWABLE.iter().find(|(unknowable, _)| *unknowable == name) {
                Some((_, why)) => format!("{name} is not available: {why}"),
                None => format!("there is no variable {name}"),
            }
        })
    }

    /// Whether rules may set its members with `setvar`.
    pub(crate) fn is_settable(self) -> bool {
        self == Self::Tx || self.is_persistent()
    }

    /// Whether its values come from request and response alone, and so stay the same throughout a phase.
    pub(crate) fn is_settled(self) -> bool {
        !self.is_settable()
            && !matches!(
                self,
                Self::Duration
                    | Self::Env
                    | Self::Geo
                    | Self::HighestSeverity
                    | Self::MatchedVar
                    | Self::MatchedVarName
                    | Self::MatchedVars
                    | Self::MatchedVarsNames
                    | Self::ReqbodyProcessor
                    | Self::Rule
                    | Self::SessionId
                    | Self::Time
                    | Self::TimeDay
                    | Self::TimeEpoch
                    | Self::TimeHour
                    | Self::TimeMin
                    | Self::TimeMon
                    | Self::TimeSec
                    | Self::TimeWday
                    | Self::TimeYear
                    | Self::UserId
            )
    }

    /// Whether it is one of the collections that `initcol` and its kin bind to a key.
    pub(crate) fn is_persistent(self) -> bool {
        matches!(self, Self::Global | Self::Ip | Self::Resource | Self::Session | Self::User)
    }
}

/// A set of variables.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Variables(u128);

impl Variables {
    pub(crate) fn insert(&mut self, variable: Variable) {
        self.0 |= 1 << (variable as u32);
    }

    pub(crate) fn contains(self, variable: Variable) -> bool {
        self.0 & (1 << (variable as u32)) != 0
    }
}

const _: () = assert!(Variable::COUNT <= u128::BITS as usize, "Variables has one bit each");
