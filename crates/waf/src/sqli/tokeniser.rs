//! Cuts a value into tokens. The class of a token's first byte says how the token goes on.
//!
//! Quirks of the original are kept where they show: among digits, and among the letters of a `$tag$`, NUL counts as
//! one of them, and it ends a variable's name.

use libinjectionrs::sqli::sqli_data::{CHAR_MAP, CharType};
use memchr::{memchr, memmem};

use super::strings;
use super::token::{Kind, MAX_TEXT_BYTES, Token};
use super::words::{WORDS, Words};

/// How `#` and `--` are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    /// `#` is an operator, `--` begins a comment.
    Ansi,
    /// `#` begins a comment, `--` only before white space.
    MySql,
}

/// How a number is read whose exponent has no digits, such as `1.e`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OpenExponent {
    /// As a word, as libinjection up to 3.9 does.
    Word,
    /// As nothing, as MySQL does: `1.e(select` is a `(` and a keyword to it.
    Nothing,
}

/// Where the value begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Start {
    /// Outside of quotes.
    Outside,
    /// Inside a string with this quote.
    Inside(u8),
}

/// Per byte, how a token that begins with it goes on.
static CLASSES: [CharType; 256] = CHAR_MAP;

/// What a byte is inside a word.
#[derive(Clone, Copy, PartialEq, Eq)]
enum InWord {
    Letter,
    /// The word may end here, if what comes before has a meaning.
    Seam,
    End,
}

static IN_WORD: [InWord; 256] = {
    let mut table = [InWord::Letter; 256];
    let mut ends: &[u8] = b" []{}<>:\\?=@!#~+-*/&|^%(),';\t\n\x0b\x0c\r\"\xa0\0";
    while let [byte, rest @ ..] = ends {
        table[*byte as usize] = InWord::End;
        ends = rest;
    }
    table[b'.' as usize] = InWord::Seam;
    table[b'`' as usize] = InWord::Seam;
    table
};

/// The tokens of a value.
pub(super) struct Tokeniser<'a> {
    value: &'a [u8],
    dialect: Dialect,
    open_exponent: OpenExponent,
    words: &'static Words,
    /// Where the next token is looked for.
    pos: usize,
    /// Set until the first token is read.
    start: Start,
    read: usize,
    other_in_mysql: bool,
}

impl<'a> Iterator for Tokeniser<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        let token = match std::mem::replace(&mut self.start, Start::Outside) {
            Start::Inside(quote) if !self.value.is_empty() => self.string(0, quote, None),
            _ => loop {
                let byte = *self.value.get(self.pos)?;
                match CLASSES[usize::from(byte)] {
                    CharType::White => self.pos += 1,
                    CharType::Number => {
                        if let Some(number) = self.number() {
                            break number;
                        }
                    }
                    class => break self.token(byte, class),
                }
            },
        };
        self.read += 1;
        Some(token)
    }
}

impl<'a> Tokeniser<'a> {
    pub(super) fn new(value: &'a [u8], start: Start, dialect: Dialect, open_exponent: OpenExponent) -> Self {
        Self { value, dialect, open_exponent, words: &WORDS, pos: 0, start, read: 0, other_in_mysql: false }
    }

    pub(super) fn value(&self) -> &'a [u8] {
        self.value
    }

    pub(super) fn words(&self) -> &'static Words {
        self.words
    }

    /// How many tokens were read.
    pub(super) fn read(&self) -> usize {
        self.read
    }

    /// Whether a token was read that MySQL reads differently.
    pub(super) fn other_in_mysql(&self) -> bool {
        self.other_in_mysql
    }

    /// The token that begins at `pos` with `byte`.
    fn token(&mut self, byte: u8, class: CharType) -> Token<'a> {
        match class {
            CharType::Word | CharType::White | CharType::Number => self.word(),
            CharType::String => self.string(self.pos + 1, byte, Some(byte)),
            CharType::Op1 | CharType::Unary => self.take(Kind::Operator, 1),
            CharType::Bang | CharType::Op2 => self.operator(byte),
            CharType::LeftParens => self.take(Kind::LeftParen, 1),
            CharType::RightParens => self.take(Kind::RightParen, 1),
            CharType::LeftBrace => self.take(Kind::LeftBrace, 1),
            CharType::RightBrace => self.take(Kind::RightBrace, 1),
            CharType::Comma => self.take(Kind::Comma, 1),
            CharType::Semicolon => self.take(Kind::Semicolon, 1),
            CharType::Hash => self.hash(),
            CharType::Dash => self.dash(),
            CharType::Slash => self.slash(),
            CharType::Money => self.money(),
            CharType::Variable => self.variable(),
            CharType::Tick => self.tick(self.pos),
            CharType::BWord => self.bracketed(),
            CharType::Backslash => self.backslash(),
            CharType::Other => self.take(Kind::Unknown, 1),
            CharType::BString => self.digits_or_word(is_binary),
            CharType::XString => self.digits_or_word(is_hexadecimal),
            CharType::EString => self.quoted_or_word(),
            CharType::UString => self.unicode_or_word(),
            CharType::QString => self.oracle_or_word(0),
            CharType::NQString => self.national_or_word(),
        }
    }

    /// What is left of the value, from `offset` bytes behind `pos` on.
    fn rest(&self, offset: usize) -> &'a [u8] {
        self.value.get(self.pos + offset..).unwrap_or_default()
    }

    fn peek(&self, offset: usize) -> Option<u8> {
        self.value.get(self.pos + offset).copied()
    }

    /// The next `len` bytes, as a token of `kind`.
    fn take(&mut self, kind: Kind, len: usize) -> Token<'a> {
        let at = self.pos;
        self.pos = (at + len).min(self.value.len());
        Token::new(kind, at, &self.value[at..self.pos])
    }

    fn operator(&mut self, byte: u8) -> Token<'a> {
        let rest = self.rest(0);
        if rest.starts_with(b"<=>") {
            return self.take(Kind::Operator, 3);
        }
        match rest.get(..2).and_then(|pair| self.words.kind(pair)) {
            Some(kind) => self.take(kind, 2),
            None if byte == b':' && rest.len() > 1 => self.take(Kind::Colon, 1),
            None => self.take(Kind::Operator, 1),
        }
    }

    fn hash(&mut self) -> Token<'a> {
        self.other_in_mysql = true;
        match self.dialect {
            Dialect::Ansi => self.take(Kind::Operator, 1),
            Dialect::MySql => self.line_comment(),
        }
    }

    fn dash(&mut self) -> Token<'a> {
        if self.peek(1) != Some(b'-') {
            return self.take(Kind::Operator, 1);
        }
        if self.peek(2).is_none_or(is_white) {
            return self.line_comment();
        }
        self.other_in_mysql = true;
        match self.dialect {
            Dialect::Ansi => self.line_comment(),
            Dialect::MySql => self.take(Kind::Operator, 1),
        }
    }

    fn line_comment(&mut self) -> Token<'a> {
        let rest = self.rest(0);
        match memchr(b'\n', rest) {
            Some(len) => {
                let token = self.take(Kind::Comment, len);
                self.pos += 1;
                token
            }
            None => self.take(Kind::Comment, rest.len()),
        }
    }

    /// A division, or a comment: evil if MySQL runs it, or if there is a comment in it, which PostgreSQL nests.
    fn slash(&mut self) -> Token<'a> {
        if self.peek(1) != Some(b'*') {
            return self.take(Kind::Operator, 1);
        }
        let inside = self.rest(2);
        let end = strings::find_pair(inside, *b"*/");
        // The `*` of the end may be that of a beginning: `/*/*/`.
        let nested = end.is_some_and(|end| strings::find_pair(&inside[..=end], *b"/*").is_some());
        let kind = if nested || inside.first() == Some(&b'!') { Kind::Evil } else { Kind::Comment };
        self.take(kind, end.map_or(inside.len() + 2, |end| end + 4))
    }

    /// `\N` is NULL to MySQL.
    fn backslash(&mut self) -> Token<'a> {
        if self.peek(1) == Some(b'N') { self.take(Kind::Number, 2) } else { self.take(Kind::Backslash, 1) }
    }

    /// A name in brackets, as SQL Server has them.
    fn bracketed(&mut self) -> Token<'a> {
        let rest = self.rest(0);
        self.take(Kind::Bareword, memchr(b']', rest).map_or(rest.len(), |end| end + 1))
    }

    /// A word; also what is left of a word with a meaning when `.` or a backtick follows: `SELECT.1`.
    pub(super) fn word(&mut self) -> Token<'a> {
        let rest = self.rest(0);
        let mut len = 0;
        let mut has_seam = false;
        for &byte in rest {
            match IN_WORD[usize::from(byte)] {
                InWord::Letter => {}
                InWord::Seam => has_seam = true,
                InWord::End => break,
            }
            len += 1;
        }
        let word = &rest[..len];
        if has_seam {
            let seams = word.iter().take(MAX_TEXT_BYTES).enumerate();
            for (at, _) in seams.filter(|(_, byte)| IN_WORD[usize::from(**byte)] == InWord::Seam) {
                if let Some(kind) = self.words.kind(&word[..at]).filter(|kind| *kind != Kind::Bareword) {
                    return self.take(kind, at);
                }
            }
        }
        let kind = if len <= MAX_TEXT_BYTES { self.words.kind(word) } else { None };
        self.take(kind.unwrap_or(Kind::Bareword), len)
    }

    /// A name in backticks, which begin at `at`; MySQL takes a function's name there for the function.
    fn tick(&mut self, at: usize) -> Token<'a> {
        let mut token = self.string(at + 1, b'`', Some(b'`'));
        token.kind = match self.words.kind(token.text) {
            Some(Kind::Function) => Kind::Function,
            _ => Kind::Bareword,
        };
        token
    }

    fn variable(&mut self) -> Token<'a> {
        let signs = if self.peek(1) == Some(b'@') { 2 } else { 1 };
        let mut token = match self.peek(signs) {
            Some(b'`') => self.tick(self.pos + signs),
            Some(quote @ (b'\'' | b'"')) => self.string(self.pos + signs + 1, quote, Some(quote)),
            _ => {
                self.pos += signs;
                let name = span(self.rest(0), |byte| {
                    !b" <>:\\?=@!#~+-*/&|^%(),';\t\n\x0b\x0c\r`\"\0".contains(&byte)
                });
                self.take(Kind::Variable, name)
            }
        };
        token.kind = Kind::Variable;
        token.signs = signs as u8;
        token
    }

    /// `$1,000.00`, or one of PostgreSQL's strings: `$$text$$`, `$tag$text$tag$`.
    fn money(&mut self) -> Token<'a> {
        let rest = self.rest(1);
        match span(rest, |byte| matches!(byte, b'0'..=b'9' | b'.' | b',' | 0)) {
            0 => {}
            1 if rest.first() == Some(&b'.') => return self.word(),
            len => return self.take(Kind::Number, 1 + len),
        }
        let tag = span(rest, |byte| byte.is_ascii_alphabetic() || byte == 0);
        if rest.get(tag) != Some(&b'$') {
            return self.take(Kind::Bareword, 1);
        }
        let tag = &self.rest(0)[..tag + 2];
        let at = self.pos + tag.len();
        let len = match tag.len() {
            2 => strings::find_pair(&self.value[at..], *b"$$"),
            _ => memmem::find(&self.value[at..], tag),
        };
        self.delimited(at, len, tag.len(), b'$')
    }

    fn number(&mut self) -> Option<Token<'a>> {
        let rest = self.rest(0);
        let digits: Option<fn(u8) -> bool> = match rest {
            [b'0', b'x' | b'X', ..] => Some(is_hexadecimal),
            [b'0', b'b' | b'B', ..] => Some(is_binary),
            _ => None,
        };
        if let Some(digits) = digits {
            return Some(match span(&rest[2..], digits) {
                0 => self.take(Kind::Bareword, 2),
                len => self.take(Kind::Number, 2 + len),
            });
        }
        let is_digit = |byte: u8| byte.is_ascii_digit();
        let mut len = span(rest, is_digit);
        if rest.get(len) == Some(&b'.') {
            len += 1;
            len += span(&rest[len..], is_digit);
            if len == 1 {
                return Some(self.take(Kind::Dot, 1));
            }
        }
        let mut kind = Kind::Number;
        if let Some(b'e' | b'E') = rest.get(len) {
            len += 1;
            if let Some(b'+' | b'-') = rest.get(len) {
                len += 1;
            }
            let exponent = span(&rest[len..], is_digit);
            len += exponent;
            if exponent == 0 {
                kind = Kind::Bareword;
            }
        }
        // Oracle's suffixes of floating point numbers; before `U` for `1fUNION`.
        if let [b'd' | b'D' | b'f' | b'F', behind @ ..] = &rest[len..]
            && behind.first().is_none_or(|&byte| is_white(byte) || matches!(byte, b';' | b'u' | b'U'))
        {
            len += 1;
        }
        if kind == Kind::Bareword && self.open_exponent == OpenExponent::Nothing {
            self.pos += len;
            return None;
        }
        Some(self.take(kind, len))
    }

    /// The token that a string of `len` bytes from `at` on is, delimited in an unusual way that `mark` stands for; its end
    /// has `end` bytes. Without a length it is the rest of the value.
    fn delimited(&mut self, at: usize, len: Option<usize>, end: usize, mark: u8) -> Token<'a> {
        let text = &self.value[at..len.map_or(self.value.len(), |len| at + len)];
        self.pos = len.map_or(self.value.len(), |len| at + len + end);
        let close = len.map(|_| mark);
        Token { open: Some(mark), close, ..Token::new(Kind::String, at, text) }
    }

    /// A string with `quote` whose inside begins at `at`.
    fn string(&mut self, at: usize, quote: u8, open: Option<u8>) -> Token<'a> {
        let inside = &self.value[at..];
        let end = strings::end(inside, quote);
        self.pos = at + end.map_or(inside.len(), |end| end + 1);
        let text = &inside[..end.unwrap_or(inside.len())];
        Token { open, close: end.map(|_| quote), ..Token::new(Kind::String, at, text) }
    }

    /// `b'01'`, `x'1F'`: a number.
    fn digits_or_word(&mut self, is_digit: fn(u8) -> bool) -> Token<'a> {
        if self.peek(1) == Some(b'\'') && self.peek(2).is_some() {
            let digits = span(self.rest(2), is_digit);
            if self.peek(2 + digits) == Some(b'\'') {
                return self.take(Kind::Number, digits + 3);
            }
        }
        self.word()
    }

    /// `E'text'`, `N'text'`.
    fn quoted_or_word(&mut self) -> Token<'a> {
        if self.peek(1) == Some(b'\'') && self.peek(2).is_some() {
            self.string(self.pos + 2, b'\'', Some(b'\''))
        } else {
            self.word()
        }
    }

    /// `U&'text'`.
    fn unicode_or_word(&mut self) -> Token<'a> {
        if self.peek(1) != Some(b'&') || self.peek(2) != Some(b'\'') {
            return self.word();
        }
        let token = self.string(self.pos + 3, b'\'', Some(b'u'));
        Token { close: token.close.map(|_| b'u'), ..token }
    }

    /// `N'text'`, and Oracle's `nq'(text)'`.
    fn national_or_word(&mut self) -> Token<'a> {
        if self.peek(1) == Some(b'\'') && self.peek(2).is_some() {
            self.quoted_or_word()
        } else {
            self.oracle_or_word(1)
        }
    }

    /// Oracle's `q'(text)'`, `offset` bytes behind `pos`.
    fn oracle_or_word(&mut self, offset: usize) -> Token<'a> {
        let [b'q' | b'Q', b'\'', open @ 33..=127, ..] = *self.rest(offset) else { return self.word() };
        let close = match open {
            b'(' => b')',
            b'[' => b']',
            b'{' => b'}',
            b'<' => b'>',
            other => other,
        };
        let at = self.pos + offset + 3;
        let len = strings::find_pair(&self.value[at..], [close, b'\'']);
        self.delimited(at, len, 2, b'q')
    }
}

/// How many bytes at the beginning of `text` are `wanted`.
fn span(text: &[u8], wanted: impl Fn(u8) -> bool) -> usize {
    text.iter().position(|&byte| !wanted(byte)).unwrap_or(text.len())
}

fn is_binary(byte: u8) -> bool {
    matches!(byte, b'0' | b'1' | 0)
}

fn is_hexadecimal(byte: u8) -> bool {
    byte.is_ascii_hexdigit() || byte == 0
}

/// What ends a `--` and a number's suffix. NUL is white space to Oracle, 0xA0 in Latin-1.
fn is_white(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | 0x0b | 0x0c | b'\r' | 0xa0 | 0)
}
