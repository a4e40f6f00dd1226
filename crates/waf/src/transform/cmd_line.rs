//! `cmdLine`: a command line as the shell would see it after its own unquoting.
//!
//! Removes `"`, `'`, `\` and `^`; makes each run of space, comma, semicolon, tab, CR and LF one space; removes the
//! space before `/` and `(`; lowers ASCII letters. Example: `C^OMMAND /C DIR` gives `command/c dir`.

use super::output::Output;
use std::borrow::Cow;

pub(super) fn apply(input: &[u8]) -> Cow<'_, [u8]> {
    let mut output = Output::starting_at(input, 0);
    let mut after_space = false;
    for &byte in input {
        match byte {
            b'"' | b'\'' | b'\\' | b'^' => {}
            b' ' | b',' | b';' | b'\t' | b'\r' | b'\n' => {
                if !after_space {
                    output.push(b' ');
                }
                after_space = true;
            }
            b'/' | b'(' => {
                if after_space {
                    output.pop();
                }
                after_space = false;
                output.push(byte);
            }
            _ => {
                after_space = false;
                output.push(byte.to_ascii_lowercase());
            }
        }
    }
    output.finish()
}

#[cfg(test)]
mod tests {
    use super::apply;
    use std::borrow::Cow;

    #[test]
    fn unquotes_and_folds() {
        assert_eq!(&*apply(b"C^OMMAND /C DIR"), b"command/c dir");
        assert_eq!(&*apply(b"\"cmd\",;\t\r\n /c DiR"), b"cmd/c dir");
        assert_eq!(&*apply(b"echo ( 'x' )"), b"echo( x )");
    }

    #[test]
    fn leaves_a_plain_command_alone() {
        assert!(matches!(apply(b"ls -l"), Cow::Borrowed(b"ls -l")));
    }
}
