//! What a rule link asks of a value: an operator, compiled as far as its argument allows.

use crate::files::Files;
use crate::operator::{DataFiles, Operator, PatternLimits, RuntimeOperator};
use crate::program::Names;
use crate::seclang::OperatorText;
use crate::template::{self, Template};

/// An operator and its argument.
#[derive(Debug)]
pub(crate) enum Check {
    /// Matches whatever the value: `SecAction`, `@unconditionalMatch`.
    Always,
    /// An operator with a fixed argument.
    Compiled(Operator),
    /// An operator whose argument is expanded for each evaluation.
    Expanded(RuntimeOperator, Template),
}

impl Check {
    /// Compiles `operator`, which may name files.
    pub(crate) fn compile(
        operator: &OperatorText,
        names: &mut Names,
        files: &dyn Files,
        patterns: PatternLimits,
    ) -> Result<Self, String> {
        let name = operator.name.to_ascii_lowercase();
        if name == "unconditionalmatch" {
            return Ok(Self::Always);
        }
        if template::has_macro(&operator.argument) {
            let argument = Template::parse(&operator.argument, names)?;
            return match RuntimeOperator::from_name(&name) {
                Some(kind) => Ok(Self::Expanded(kind, argument)),
                None => Err(format!("the argument of @{} cannot hold macros", operator.name)),
            };
        }
        let from = &operator.place.file;
        Operator::compile_within(patterns, &name, &operator.argument, &DataOf { files, from })
            .map(Self::Compiled)
            .map_err(|error| error.to_string())
    }

    /// The argument, where it holds macros.
    pub(crate) fn template(&self) -> Option<&Template> {
        match self {
            Self::Expanded(_, template) => Some(template),
            Self::Always | Self::Compiled(_) => None,
        }
    }
}

/// Why an operator that compiles has no answer here, if it is such a one: evaluating it refuses.
pub(crate) fn never_answers(name: &str) -> Option<&'static str> {
    const REFUSES: [(&str, &str); 2] = [
        ("rbl", "@rbl would ask DNS: a transaction that comes to it is refused"),
        ("geoLookup", "@geoLookup has no database: a transaction that comes to it is refused"),
    ];
    REFUSES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, why)| *why)
}

/// The files that one rule file's operators name.
struct DataOf<'a> {
    files: &'a dyn Files,
    from: &'a str,
}

impl DataFiles for DataOf<'_> {
    fn read(&self, path: &str) -> Result<Vec<u8>, String> {
        self.files.read(path, self.from)
    }
}
