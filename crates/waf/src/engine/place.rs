//! Where in the request the values stand that rules look at, for explained transactions.
//!
//! Places are bytes of the request written out with line feeds: the request line, each header as `Name: value`, an
//! empty line, the body. That is how libmodsecurity counts in the `ref` of its logs. Values that a transaction or a
//! response made have no place, and neither have JSON's: nothing else is known by where it was read.

use std::borrow::Cow;
use std::ops::Range;

use super::data::{Data, Group, ValueId};
use super::request::{AUTHORIZATION, COOKIE};
use super::request_body::body_limits;
use super::state::State;
use super::text::{Named, Text};
use crate::body;
use crate::program::BodyProcessor;
use crate::variable::Variable;

impl State<'_> {
    /// The places of a value of the request; more than one where it is made of several.
    pub(super) fn places(&self, data: &Data, named: &Named<'_>) -> Vec<Range<usize>> {
        let request = Request { data, state: self };
        match &named.key {
            _ if named.count => Vec::new(),
            Some(Text::Kept(key)) => request.member(named.variable, *key, &named.value).into_iter().collect(),
            Some(_) => Vec::new(),
            None => request.scalar(named.variable),
        }
    }
}

/// Where `part` lies in `whole`; `None` if it is a copy.
pub(super) fn range_in(whole: &[u8], part: &[u8]) -> Option<Range<usize>> {
    let start = (part.as_ptr() as usize).checked_sub(whole.as_ptr() as usize)?;
    let end = start.checked_add(part.len())?;
    (end <= whole.len()).then_some(start..end)
}

struct Request<'a, 'p> {
    data: &'a Data,
    state: &'a State<'p>,
}

impl Request<'_, '_> {
    fn scalar(&self, variable: Variable) -> Vec<Range<usize>> {
        let target = self.target();
        let (path, query) = self.path_and_query();
        let one = match variable {
            Variable::RequestLine => 0..self.length(Variable::RequestLine),
            Variable::RequestMethod => 0..self.length(Variable::RequestMethod),
            Variable::RequestProtocol => target.end + 1..self.length(Variable::RequestLine),
            Variable::RequestUri => path.start..query.end,
            Variable::RequestUriRaw => target,
            Variable::PathInfo | Variable::RequestFilename => path,
            Variable::RequestBasename => {
                let line = self.bytes(Variable::RequestLine);
                let last = line.get(path.clone()).and_then(|raw| memchr::memrchr2(b'/', b'\\', raw));
                path.start + last.map_or(0, |slash| slash + 1)..path.end
            }
            Variable::QueryString => query,
            Variable::AuthType => match self.authorization() {
                Some(value) => value.start..value.start + self.length(Variable::AuthType),
                None => return Vec::new(),
            },
            Variable::RemoteUser => return self.authorization().into_iter().collect(),
            Variable::RequestBody | Variable::RequestBodyLength => {
                let length = String::from_utf8_lossy(self.bytes(Variable::RequestBodyLength));
                let start = self.body_start();
                start..start + length.parse::<usize>().unwrap_or_default()
            }
            Variable::ArgsCombinedSize => return self.all_arguments(),
            Variable::FilesCombinedSize => {
                let sizes = self.data.members(Group::FileSizes).iter();
                return sizes.filter_map(|file| self.in_parts(file.value)).collect();
            }
            _ => return Vec::new(),
        };
        vec![one]
    }

    fn member(&self, variable: Variable, key: ValueId, value: &Text<'_>) -> Option<Range<usize>> {
        let Text::Kept(value) = value else { return None };
        let position = |group: Group| {
            let is_it = |member: &super::data::Member| {
                member.key == key && (member.value == *value || member.key == *value)
            };
            self.data.members(group).iter().position(is_it)
        };
        // A name is shown under itself.
        let is_name = key == *value;
        let pick = |(name, value): (Range<usize>, Range<usize>)| if is_name { name } else { value };
        match variable {
            Variable::RequestHeaders | Variable::RequestHeadersNames => {
                position(Group::RequestHeaders).and_then(|at| self.header(at)).map(pick)
            }
            Variable::RequestCookies | Variable::RequestCookiesNames => {
                position(Group::RequestCookies).and_then(|at| self.cookies().into_iter().nth(at)).map(pick)
            }
            Variable::Args
            | Variable::ArgsNames
            | Variable::ArgsGet
            | Variable::ArgsGetNames
            | Variable::ArgsPost
            | Variable::ArgsPostNames => {
                if let Some(at) = position(Group::ArgsGet) {
                    return self.query_arguments().get(at).cloned().map(pick);
                }
                let at = position(Group::ArgsPost)?;
                self.form_arguments().get(at).cloned().map(pick).or_else(|| self.in_parts(*value))
            }
            Variable::FilesNames => self.in_parts(key),
            _ => self.in_parts(*value),
        }
    }

    fn all_arguments(&self) -> Vec<Range<usize>> {
        let multipart = self
            .data
            .members(Group::ArgsPost)
            .iter()
            .filter_map(|argument| Some((self.in_parts(argument.key)?, self.in_parts(argument.value)?)));
        let arguments = self.query_arguments().into_iter().chain(self.form_arguments()).chain(multipart);
        arguments.flat_map(|(name, value)| [name, value]).collect()
    }

    fn bytes(&self, variable: Variable) -> &[u8] {
        self.data.get(self.data.scalar(variable))
    }

    fn length(&self, variable: Variable) -> usize {
        self.bytes(variable).len()
    }

    fn target(&self) -> Range<usize> {
        let start = self.length(Variable::RequestMethod) + 1;
        start..start + self.length(Variable::RequestUriRaw)
    }

    fn path_and_query(&self) -> (Range<usize>, Range<usize>) {
        let start = self.target().start;
        let target = self.bytes(Variable::RequestUriRaw);
        let (path, query) = super::request::path_and_query(target);
        let at = |part: &[u8]| {
            let found = range_in(target, part).unwrap_or(target.len()..target.len());
            start + found.start..start + found.end
        };
        (at(path), at(query))
    }

    /// Name and value of header `index`.
    fn header(&self, index: usize) -> Option<(Range<usize>, Range<usize>)> {
        let headers = self.data.members(Group::RequestHeaders);
        let start = self.length(Variable::RequestLine) + 1 + lines(self.data, headers.get(..index)?);
        let header = headers.get(index)?;
        let name = start..start + self.data.get(header.key).len();
        let value = name.end + 2..name.end + 2 + self.data.get(header.value).len();
        Some((name, value))
    }

    /// The value of each header of this name, with its place.
    fn headers_named(&self, name: &[u8]) -> impl Iterator<Item = (&[u8], Range<usize>)> {
        let headers = self.data.members(Group::RequestHeaders).iter().enumerate();
        let named = headers.filter(move |(_, header)| self.data.get(header.key).eq_ignore_ascii_case(name));
        named.filter_map(|(index, header)| Some((self.data.get(header.value), self.header(index)?.1)))
    }

    fn authorization(&self) -> Option<Range<usize>> {
        self.headers_named(AUTHORIZATION).last().map(|(_, place)| place)
    }

    fn cookies(&self) -> Vec<(Range<usize>, Range<usize>)> {
        let limits = body_limits(&self.state.ruleset.settings);
        let mut places = Vec::new();
        for (header, place) in self.headers_named(COOKIE) {
            let at = |part: &Cow<'_, [u8]>| {
                let found = range_in(header, part).unwrap_or_default();
                place.start + found.start..place.start + found.end
            };
            let cookies = body::cookies::parse(header, &limits).list;
            places.extend(cookies.iter().map(|cookie| (at(&cookie.name), at(&cookie.value))));
        }
        places
    }

    fn query_arguments(&self) -> Vec<(Range<usize>, Range<usize>)> {
        let (_, query) = self.path_and_query();
        self.pairs(self.bytes(Variable::QueryString), query.start)
    }

    fn form_arguments(&self) -> Vec<(Range<usize>, Range<usize>)> {
        match self.state.processor {
            Some(BodyProcessor::Urlencoded) => {
                self.pairs(self.bytes(Variable::RequestBody), self.body_start())
            }
            _ => Vec::new(),
        }
    }

    fn pairs(&self, text: &[u8], start: usize) -> Vec<(Range<usize>, Range<usize>)> {
        let at = |part: &[u8]| {
            let found = range_in(text, part).unwrap_or_default();
            start + found.start..start + found.end
        };
        let pairs = body::urlencoded::pairs(text, self.state.ruleset.settings.argument_separator);
        pairs.map(|(name, value)| (at(name), at(value))).collect()
    }

    fn body_start(&self) -> usize {
        let headers = self.data.members(Group::RequestHeaders);
        self.length(Variable::RequestLine) + 1 + lines(self.data, headers) + 1
    }

    fn in_parts(&self, value: ValueId) -> Option<Range<usize>> {
        let place = self.data.place_in_body(value)?;
        let start = self.body_start();
        Some(start + place.start..start + place.end)
    }
}

/// Bytes of header lines.
fn lines(data: &Data, headers: &[super::data::Member]) -> usize {
    const BETWEEN_AND_BEHIND: usize = ": \n".len();
    let line = |header: &super::data::Member| {
        data.get(header.key).len() + data.get(header.value).len() + BETWEEN_AND_BEHIND
    };
    headers.iter().map(line).sum()
}

#[cfg(test)]
mod tests {
    use super::range_in;

    #[test]
    fn a_part_is_found_and_a_copy_is_not() {
        let whole = b"abcdef".to_vec();
        assert_eq!(range_in(&whole, &whole[2..4]), Some(2..4));
        assert_eq!(range_in(&whole[1..3], &whole[2..5]), None);
        assert_eq!(range_in(&whole[2..], &whole[..1]), None);
    }
}
