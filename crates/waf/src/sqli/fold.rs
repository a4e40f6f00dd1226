//! Folds tokens: what says the same in fewer tokens, and what makes a fingerprint differ without making a value less
//! of an injection, is folded away.
//!
//! Tokens are read one by one into a short row. The two tokens behind those that are done are looked at, then three.
//! A rule drops tokens at the row's end, and reading begins anew at the row's beginning, since what is left may fold
//! again; if no rule applies, the first of the tokens is done. Reading ends with the value, or when five tokens are
//! done. A sixth is read where it tells what the fifth is.
//!
//! The original's rules name tokens by their places in the row, and drop from its end, also when rows are longer than
//! the rule: fingerprints depend on that, so it is the same here.

use super::fingerprint::MAX_TOKENS;
use super::token::{Kind, Token};
use super::tokeniser::Tokeniser;

/// Tokens in the row at most.
const ROW: usize = MAX_TOKENS + 1;

/// Barewords and variables that are functions in front of `(`.
const CALLED: [&str; 11] = [
    "USER_ID",
    "USER_NAME",
    "DATABASE",
    "PASSWORD",
    "USER",
    "CURRENT_USER",
    "CURRENT_DATE",
    "CURRENT_TIME",
    "CURRENT_TIMESTAMP",
    "LOCALTIME",
    "LOCALTIMESTAMP",
];

/// The tokens of a value after folding.
pub(super) struct Folded<'a> {
    row: [Token<'a>; ROW],
    /// Tokens in the row.
    len: usize,
    /// Tokens of the row that are done.
    done: usize,
    /// The comment that was read last, if nothing was read behind it.
    comment: Option<Token<'a>>,
    source: Tokeniser<'a>,
    has_ended: bool,
}

impl<'a> Folded<'a> {
    pub(super) fn of(source: Tokeniser<'a>) -> Self {
        let empty = Token::new(Kind::Unknown, 0, b"");
        let mut folded = Self { row: [empty; ROW], len: 0, done: 0, comment: None, source, has_ended: false };
        if folded.read_first() {
            folded.fold();
        }
        folded
    }

    /// The tokens: five, or six if folding ended with an evil one.
    pub(super) fn tokens(&self) -> &[Token<'a>] {
        &self.row[..self.len]
    }

    /// How many tokens there were before folding.
    pub(super) fn read(&self) -> usize {
        self.source.read()
    }

    /// Whether MySQL would read other tokens.
    pub(super) fn is_other_in_mysql(&self) -> bool {
        self.source.other_in_mysql()
    }

    /// Reads over what may stand in front of any value; `false` if there is nothing behind it.
    fn read_first(&mut self) -> bool {
        let first = self.source.find(|token| {
            !matches!(token.kind, Kind::Comment | Kind::LeftParen | Kind::SqlType) && !token.is_unary()
        });
        if let Some(token) = first {
            self.row[0] = token;
            self.len = 1;
        }
        first.is_some()
    }

    /// Reads until `wanted` tokens stand behind those that are done; whether they do.
    fn read_to(&mut self, wanted: usize) -> bool {
        while !self.has_ended && self.len < ROW && self.len - self.done < wanted {
            match self.source.next() {
                Some(token) if token.kind == Kind::Comment => self.comment = Some(token),
                Some(token) => {
                    self.comment = None;
                    self.row[self.len] = token;
                    self.len += 1;
                }
                None => self.has_ended = true,
            }
        }
        let are_read = self.len - self.done >= wanted;
        if !are_read {
            self.done = self.len;
        }
        are_read
    }

    fn fold(&mut self) {
        loop {
            if self.len >= MAX_TOKENS {
                self.drop_a_call();
            }
            if self.has_ended || self.done >= MAX_TOKENS {
                return self.finish();
            }
            if !self.read_to(2) {
                continue;
            }
            match self.fold_two() {
                Step::Evil => {
                    self.len = self.done + 2;
                    return;
                }
                Step::Again => continue,
                Step::On => {}
            }
            if self.read_to(3) && !self.fold_three() {
                self.done += 1;
            }
        }
    }

    /// Leaves the sixth token out, and adds the comment at the end if there is room.
    fn finish(&mut self) {
        self.len = self.len.min(MAX_TOKENS);
        if let Some(comment) = self.comment
            && self.len < MAX_TOKENS
        {
            self.row[self.len] = comment;
            self.len += 1;
        }
        // To MySQL an open backtick at the end is a comment.
        if self.len > 2 {
            let last = &mut self.row[self.len - 1];
            if last.kind == Kind::Bareword
                && last.open == Some(b'`')
                && last.close.is_none()
                && last.text.is_empty()
            {
                last.kind = Kind::Comment;
            }
        }
    }

    /// Five tokens that are a name or a number, in parentheses or with such: only the first counts, and the sixth.
    fn drop_a_call(&mut self) {
        use Kind::{Bareword, Comma, LeftParen, Number, Operator, RightParen};
        let [first, second, third, fourth, fifth, sixth] = self.row;
        let is_call = matches!(
            (first.kind, second.kind, third.kind, fourth.kind, fifth.kind),
            (Number, Operator | Comma, LeftParen, Number, RightParen)
                | (Bareword, Operator, LeftParen, Bareword | Number, RightParen)
                | (Number, RightParen, Comma, LeftParen, Number)
                | (Bareword, RightParen, Operator, LeftParen, Bareword)
        );
        if is_call {
            self.row[1] = sixth;
            self.len -= MAX_TOKENS - 1;
            self.done = 0;
        }
    }

    /// The rules for the two tokens behind those that are done.
    #[expect(clippy::match_same_arms, reason = "an arm per rule")]
    fn fold_two(&mut self) -> Step {
        use Kind::{
            Backslash, Bareword, Collate, Function, Keyword, LeftBrace, LeftParen, Logic, Number, Operator,
            RightBrace, RightParen, Semicolon, SqlType, String, Tsql, Variable,
        };
        let (here, next) = (self.done, self.done + 1);
        let (first, second) = (self.row[here], self.row[next]);
        match (first.kind, second.kind) {
            // Strings next to each other are one.
            (String, String) | (Semicolon, Semicolon) => return self.drop_last(1, here),
            (Operator | Logic, SqlType) => return self.drop_last(1, 0),
            (Operator | Logic, Operator) if second.is_unary() => return self.drop_last(1, 0),
            (LeftParen, Operator) if second.is_unary() => return self.drop_last(1, here.saturating_sub(1)),
            _ => {}
        }
        if let Some(phrase) = self.phrase(&first, &second) {
            self.row[here] = phrase;
            return self.drop_last(1, here.saturating_sub(1));
        }
        match (first.kind, second.kind) {
            // A function elsewhere, but a statement where one begins.
            (Semicolon, Function)
                if second.text.get(..2).is_some_and(|text| text.eq_ignore_ascii_case(b"IF")) =>
            {
                self.row[next].kind = Tsql;
                Step::Again
            }
            (Bareword | Variable, LeftParen) if CALLED.iter().any(|name| first.is(name)) => {
                self.row[here].kind = Function;
                Step::Again
            }
            (Keyword, kind) if first.is("IN") || first.is("NOT IN") => {
                self.row[here].kind = if kind == LeftParen { Operator } else { Bareword };
                Step::Again
            }
            (Operator, kind) if first.is("LIKE") || first.is("NOT LIKE") => {
                if kind == LeftParen {
                    self.row[here].kind = Function;
                }
                Step::On
            }
            (SqlType, Bareword | Number | SqlType | LeftParen | Function | Variable | String) => {
                self.row[here] = second;
                self.drop_last(1, 0)
            }
            // There are many collations; most have a `_`. (The original's text ends at NUL.)
            (Collate, Bareword) => {
                if second.text.iter().take_while(|&&byte| byte != 0).any(|&byte| byte == b'_') {
                    self.row[next].kind = SqlType;
                    self.done = 0;
                }
                Step::On
            }
            // Transact-SQL takes `\%1` for `0 % 1`, and `\1` for `1`.
            (Backslash, _) if second.is_arithmetic() => {
                self.row[here].kind = Number;
                self.drop_last(0, 0)
            }
            (Backslash, _) => {
                self.row[here] = second;
                self.drop_last(1, 0)
            }
            (LeftParen, LeftParen) | (RightParen, RightParen) => self.drop_last(1, 0),
            // MySQL takes {``.``.id} for a name: too odd to be read well.
            (LeftBrace, Bareword) if second.text.is_empty() => {
                self.row[next].kind = Kind::Evil;
                Step::Evil
            }
            // ODBC's {name expression}.
            (LeftBrace, Bareword) => self.drop_last(2, 0),
            (_, RightBrace) => self.drop_last(1, 0),
            _ => Step::On,
        }
    }

    /// The rules for the three tokens behind those that are done; whether one applied.
    #[expect(clippy::match_same_arms, reason = "an arm per rule")]
    fn fold_three(&mut self) -> bool {
        use Kind::{
            Bareword, Comma, Dot, Expression, Function, Group, Keyword, LeftParen, Logic, Number, Operator,
            RightParen, SqlType, String, Variable,
        };
        let here = self.done;
        let (first, second, third) = (self.row[here], self.row[here + 1], self.row[here + 2]);
        match (first.kind, second.kind, third.kind) {
            (Number, Operator, Number)
            | (Logic, _, Logic)
            | (Variable, Operator, Variable | Number | Bareword)
            | (Bareword | Number, Operator, Number | Bareword)
            | (Bareword | Number | String | Variable, Comma, Number | Bareword | String | Variable) => {
                self.drop_last(2, 0);
            }
            (Operator, kind, Operator) if kind != LeftParen => {
                self.drop_last(2, 0);
            }
            // PostgreSQL's cast.
            (Bareword | Number | Variable | String, Operator, SqlType) if second.text == b"::" => {
                self.drop_last(2, 0);
            }
            (Expression | Group | Comma, Operator, LeftParen)
            | (Keyword | Expression | Group, Operator, Number | Bareword | Variable | String | Function)
            | (Comma, Operator, Function)
                if second.is_unary() =>
            {
                self.row[here + 1] = third;
                self.drop_last(1, 0);
            }
            // Once more from before the comma: `1,-1` is `1,1`, which is `1`.
            (Comma, Operator, Number | Bareword | Variable | String) if second.is_unary() => {
                self.row[here + 1] = third;
                self.drop_last(3, 0);
            }
            // A database's or a table's name and a dot.
            (Bareword, Dot, Bareword) => {
                self.drop_last(2, 0);
            }
            (Expression, Dot, Bareword) => {
                self.row[here + 1] = third;
                self.drop_last(1, 0);
            }
            // A function of that name takes nothing.
            (Function, LeftParen, kind) if kind != RightParen && first.is("USER") => {
                self.row[here].kind = Bareword;
                return false;
            }
            _ => return false,
        }
        true
    }

    /// Drops tokens at the row's end, after which `done` are done.
    fn drop_last(&mut self, count: usize, done: usize) -> Step {
        self.len -= count;
        self.done = done;
        Step::Again
    }

    /// The phrase that two tokens are.
    fn phrase(&self, first: &Token<'a>, second: &Token<'a>) -> Option<Token<'a>> {
        use Kind::{Bareword, Expression, Function, Keyword, Logic, Operator, SqlType, Tsql, Union};
        let may_be = matches!(
            first.kind,
            Keyword | Bareword | Operator | Union | Function | Expression | Tsql | SqlType
        ) && matches!(
            second.kind,
            Keyword | Bareword | Operator | Union | Function | Expression | Tsql | SqlType | Logic
        );
        if !may_be {
            return None;
        }
        let (words, kind) = self.source.words().phrase(first.text, second.text)?;
        // As the value spells it, where nothing but a space is between the words.
        let spelt = self.source.value().get(first.at..first.at + words.len());
        let text =
            spelt.filter(|text| text.eq_ignore_ascii_case(words.as_bytes())).unwrap_or(words.as_bytes());
        Some(Token { kind, text, ..*first })
    }
}

/// How folding goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// From the first two tokens that are not done.
    Again,
    /// To the rules for three tokens.
    On,
    /// Not at all: the value is evil.
    Evil,
}
