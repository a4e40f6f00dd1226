//! Shrinks a request for as long as what is asked of it holds.

use super::request::Request;

/// Trials for one request; each costs a transaction of both engines.
const MAX_TRIALS: usize = 400;

/// The smallest request found that `holds`; the one given must.
pub(super) fn minimise(request: &Request, mut holds: impl FnMut(&Request) -> bool) -> Request {
    let mut best = request.clone();
    let mut trials = MAX_TRIALS;
    let mut attempt = |candidate: Request, best: &mut Request| -> bool {
        if trials == 0 || candidate == *best || !candidate.is_tellable() {
            return false;
        }
        trials -= 1;
        let held = holds(&candidate);
        if held {
            *best = candidate;
        }
        held
    };
    loop {
        let before = best.clone();
        for at in (0..best.headers.len()).rev() {
            let mut candidate = best.clone();
            candidate.headers.remove(at);
            attempt(candidate, &mut best);
        }
        shrink(&mut best, &mut attempt, |request| &mut request.body);
        shrink(&mut best, &mut attempt, |request| &mut request.target);
        for at in 0..best.headers.len() {
            shrink(&mut best, &mut attempt, |request| &mut request.headers[at].1);
        }
        if best == before {
            return best;
        }
    }
}

/// Cuts pieces out of one part, halves first, single bytes last.
fn shrink(
    best: &mut Request,
    attempt: &mut impl FnMut(Request, &mut Request) -> bool,
    part: impl Fn(&mut Request) -> &mut Vec<u8>,
) {
    let mut size = part(best).len();
    while size > 0 {
        let mut start = 0;
        while start < part(best).len() {
            let mut candidate = best.clone();
            let bytes = part(&mut candidate);
            let end = (start + size).min(bytes.len());
            bytes.drain(start..end);
            if !attempt(candidate, best) {
                start += size;
            }
        }
        size /= 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_needed_stays() {
        let request = Request {
            method: b"POST".to_vec(),
            target: b"/a/b?c=d".to_vec(),
            version: "1.1".to_owned(),
            headers: vec![(b"A".to_vec(), b"1".to_vec()), (b"B".to_vec(), b"xyz".to_vec())],
            body: b"some text with a NUL \0 in it".to_vec(),
        };
        let small =
            minimise(&request, |request| request.body.contains(&0) && request.header("b").contains(&b'y'));
        assert_eq!(small.headers, [(b"B".to_vec(), b"y".to_vec())]);
        assert_eq!((small.target.len(), &small.body[..]), (1, &b"\0"[..]));
    }
}
