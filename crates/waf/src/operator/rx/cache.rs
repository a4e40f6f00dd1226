//! Patterns whose text is known only when a rule runs (`@rx ^%{tx.allowed}$`), compiled once per thread.

use super::Pattern;
use std::cell::RefCell;
use std::collections::VecDeque;

/// Patterns kept per thread; the oldest goes first.
const MAX_CACHED: usize = 16;

thread_local! {
    static CACHE: RefCell<VecDeque<(Box<[u8]>, Pattern)>> = const { RefCell::new(VecDeque::new()) };
}

/// Calls `with` on the compiled `pattern`; the error says why it does not compile.
pub(in super::super) fn with_cached<T>(
    pattern: &[u8],
    with: impl FnOnce(&Pattern) -> T,
) -> Result<T, String> {
    CACHE.with_borrow_mut(|cache| {
        let known = cache.iter().position(|(text, _)| **text == *pattern);
        if known.is_none() {
            let compiled = Pattern::compile(pattern)?;
            cache.truncate(MAX_CACHED - 1);
            cache.push_front((pattern.into(), compiled));
        }
        Ok(with(&cache[known.unwrap_or(0)].1))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::Captures;

    #[test]
    fn patterns_are_compiled_again_when_they_have_left() {
        for round in 0..2 {
            for number in 0..MAX_CACHED * 2 {
                let pattern = format!("^{number}$");
                let matches = |input: &str| {
                    let ask = |pattern: &Pattern| pattern.matches(input.as_bytes(), &mut Captures::new());
                    with_cached(pattern.as_bytes(), ask).unwrap().unwrap()
                };
                assert!(matches(&number.to_string()) && !matches("x"), "{round} {number}");
            }
        }
        assert!(with_cached(b"(", |_| ()).is_err());
    }
}
