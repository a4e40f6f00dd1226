//! What a rule link asks of a value: an operator, compiled as far as its argument allows.

use crate::files::Files;
use crate::operator::{DataFiles, Operator, RuntimeOperator};
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
    /// A pattern that is expanded and compiled for each evaluation.
    Pattern(Template),
    /// An operator that needs what is not there. Evaluating it fails, and so refuses; rule sets that only would use
    /// it if they were told to compile.
    Unavailable(&'static str),
}

/// Operators that ask the world outside, and why they cannot.
const UNAVAILABLE: &[(&str, &str)] = &[
    ("rbl", "@rbl asks DNS, which rules here do not"),
    ("geolookup", "@geoLookup needs a geographical database, and there is none"),
];

impl Check {
    /// Compiles `operator`, which the rule file `from` names files for.
    pub(crate) fn compile(
        operator: &OperatorText,
        names: &mut Names,
        files: &dyn Files,
        from: &str,
    ) -> Result<Self, String> {
        let name = operator.name.to_ascii_lowercase();
        if name == "unconditionalmatch" {
            return Ok(Self::Always);
        }
        if let Some((_, why)) = UNAVAILABLE.iter().find(|(unavailable, _)| *unavailable == name) {
            return Ok(Self::Unavailable(why));
        }
        if template::has_macro(&operator.argument) {
            let argument = Template::parse(&operator.argument, names)?;
            return match RuntimeOperator::from_name(&name) {
                Some(kind) => Ok(Self::Expanded(kind, argument)),
                None if name == "rx" => Ok(Self::Pattern(argument)),
                None => Err(format!("the argument of @{} cannot hold macros", operator.name)),
            };
        }
        Operator::compile(&name, &operator.argument, &DataOf { files, from })
            .map(Self::Compiled)
            .map_err(|error| error.to_string())
    }

    /// The argument, where it holds macros.
    pub(crate) fn template(&self) -> Option<&Template> {
        match self {
            Self::Expanded(_, template) | Self::Pattern(template) => Some(template),
            Self::Always | Self::Compiled(_) | Self::Unavailable(_) => None,
        }
    }
}

/// Compiles a pattern that was expanded from macros; it reads no files.
pub(crate) fn compile_pattern(pattern: &str) -> Result<Operator, String> {
    struct NoFiles;
    impl DataFiles for NoFiles {
        fn read(&self, path: &str) -> Result<Vec<u8>, String> {
            Err(format!("{path} is not read while judging"))
        }
    }
    Operator::compile("rx", pattern, &NoFiles).map_err(|error| error.to_string())
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
