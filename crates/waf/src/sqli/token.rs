//! Tokens of SQL and their kinds.

/// Bytes of a token that count; what is longer is cut.
pub(super) const MAX_TEXT_BYTES: usize = 31;

/// What a token is. The letter is the kind's in a fingerprint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// A word with a meaning that no other kind has: `FROM`, `INTO`.
    Keyword = b'k',
    /// What joins queries: `UNION`, `EXCEPT`.
    Union = b'U',
    /// What orders or limits: `GROUP BY`, `LIMIT`.
    Group = b'B',
    /// What begins an expression: `SELECT`, `CASE`.
    Expression = b'E',
    /// A type: `INT`, `_utf8`.
    SqlType = b't',
    /// A function's name: `SLEEP`.
    Function = b'f',
    /// Any other word, and what is quoted as a name.
    Bareword = b'n',
    /// A number, or a word that is one: `1e5`, `0x1F`, `TRUE`.
    Number = b'1',
    /// A variable, or a word that is one: `@@version`, `NULL`.
    Variable = b'v',
    /// A string.
    String = b's',
    /// An operator: `=`, `LIKE`.
    Operator = b'o',
    /// A logical operator: `OR`, `&&`.
    Logic = b'&',
    /// A comment.
    Comment = b'c',
    /// `COLLATE`.
    Collate = b'A',
    /// `(`.
    LeftParen = b'(',
    /// `)`.
    RightParen = b')',
    /// `{`.
    LeftBrace = b'{',
    /// `}`.
    RightBrace = b'}',
    /// `.` that is no part of a number.
    Dot = b'.',
    /// `,`.
    Comma = b',',
    /// `:` that is no part of an operator.
    Colon = b':',
    /// `;`.
    Semicolon = b';',
    /// What begins a statement: `DROP`, `EXEC`.
    Tsql = b'T',
    /// A byte that means nothing.
    Unknown = b'?',
    /// What only attacks have: `/*!`, a comment in a comment.
    Evil = b'X',
    /// `\`.
    Backslash = b'\\',
}

impl Kind {
    /// The kind's letter in a fingerprint.
    pub const fn letter(self) -> u8 {
        self as u8
    }
}

/// A part of a value that means something in SQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token<'a> {
    /// What it is.
    pub kind: Kind,
    /// Its first bytes, without quotes, and without the signs of a variable.
    pub text: &'a [u8],
    /// Where the text begins in the value.
    pub(super) at: usize,
    /// The quote that it begins with, or the letter that stands for an unusual one (`q`, `u`, `$`).
    pub open: Option<u8>,
    /// The quote that it ends with; `None` if it has none or the value ends first.
    pub close: Option<u8>,
    /// How many `@` a variable has.
    pub signs: u8,
}

impl<'a> Token<'a> {
    /// A token of `kind` whose text begins at `at` in the value.
    pub(super) fn new(kind: Kind, at: usize, text: &'a [u8]) -> Self {
        let text = text.get(..MAX_TEXT_BYTES).unwrap_or(text);
        Self { kind, text, at, open: None, close: None, signs: 0 }
    }

    pub(super) fn is(&self, word: &str) -> bool {
        self.text.eq_ignore_ascii_case(word.as_bytes())
    }

    /// Whether it is an operator that may stand before a value.
    pub(super) fn is_unary(&self) -> bool {
        self.kind == Kind::Operator
            && (matches!(self.text, b"+" | b"-" | b"!" | b"~" | b"!!") || self.is("NOT"))
    }

    pub(super) fn is_arithmetic(&self) -> bool {
        self.kind == Kind::Operator && matches!(self.text, b"*" | b"/" | b"-" | b"+" | b"%")
    }
}
