//! From SecLang to a rule set: reads all sources, gathers rules, applies updates, builds the program.
//!
//! A mistake does not stop the compiler: it goes on and tells all of them. A rule set with one mistake is none.

mod actions;
mod build;
mod changes;
mod draft;
mod settings;
mod shown;
mod targets;
mod tenant;
mod updates;
mod xml_paths;

use std::sync::Arc;

use crate::check;
use crate::error::{CompileError, CompileErrors};
use crate::files::Files;
use crate::limits;
use crate::operator::{Geo, MaxMind, PatternLimits};
use crate::ruleset::{Note, Ruleset, Source};
use crate::seclang::{self, Argument, Directive, Mistake, Place};
use crate::transform::UnicodeMap;

use actions::Actions;
pub(crate) use changes::BUILT_IN;
use draft::{Defaults, LinkDraft, Marker, RuleDraft};
use settings::Applied;
pub(crate) use settings::{BodyLimit, LimitAction, Settings};
pub(crate) use targets::{XML_PATHS, exception_target, macro_target};
pub(crate) use tenant::compile_own;
use updates::Update;

/// Compiles `sources`, in order.
pub(crate) fn compile(sources: &[Source], files: &dyn Files) -> Result<Ruleset, CompileErrors> {
    let mut reader = Reader::new(files);
    for source in sources {
        reader.source(&Arc::from(source.name.as_str()), &source.text, 0);
    }
    reader.close_chain();
    let Reader { mut gathered, mut mistakes, .. } = reader;
    if gathered.geo.is_some() {
        gathered.notes.retain(|note| note.why != check::NO_GEO_DATABASE);
    }
    updates::apply(&mut gathered, &mut mistakes);
    let ruleset = build::build(gathered, files, PatternLimits::default(), &mut mistakes);
    usable(ruleset, mistakes)
}

/// The rule set, unless there are mistakes.
fn usable(ruleset: Ruleset, mistakes: Vec<Mistake>) -> Result<Ruleset, CompileErrors> {
    if mistakes.is_empty() { Ok(ruleset) } else { Err(told(mistakes)) }
}

fn told(mut mistakes: Vec<Mistake>) -> CompileErrors {
    mistakes.truncate(limits::ERRORS);
    CompileErrors(mistakes.into_iter().map(CompileError::from).collect())
}

impl From<Mistake> for CompileError {
    fn from(mistake: Mistake) -> Self {
        let Place { file, line, column } = mistake.place;
        Self { file, line, column, text: mistake.text, message: mistake.message }
    }
}

/// Everything that the sources say, before it is built.
#[derive(Debug, Default)]
struct Gathered {
    rules: Vec<RuleDraft>,
    markers: Vec<Marker>,
    updates: Vec<(Update, Place)>,
    settings: Settings,
    signatures: Vec<String>,
    notes: Vec<Note>,
    /// `SecGeoLookupDb`.
    geo: Option<Arc<dyn Geo>>,
    /// `SecUnicodeMapFile`.
    unicode: Option<UnicodeMap>,
}

/// Reads directives in order.
struct Reader<'f> {
    files: &'f dyn Files,
    gathered: Gathered,
    mistakes: Vec<Mistake>,
    /// `SecDefaultAction`, by phase.
    defaults: [Option<Arc<Defaults>>; 5],
    /// The last rule ended in `chain`: the next rule is its next link.
    chain_open: bool,
}

impl<'f> Reader<'f> {
    fn new(files: &'f dyn Files) -> Self {
        Self {
            files,
            gathered: Gathered::default(),
            mistakes: Vec::new(),
            defaults: [const { None }; 5],
            chain_open: false,
        }
    }

    fn source(&mut self, file: &Arc<str>, text: &str, depth: usize) {
        if text.len() > limits::RULE_FILE_BYTES {
            let place = Place { file: Arc::clone(file), line: 1, column: 1 };
            let message = format!("a rule file of more than {} bytes", limits::RULE_FILE_BYTES);
            self.mistakes.push(Mistake { place, text: String::new(), message });
            return;
        }
        for directive in seclang::read(file, text, &mut self.mistakes) {
            if self.mistakes.len() >= limits::ERRORS {
                return;
            }
            if let Err(mistake) = self.directive(&directive, depth) {
                self.mistakes.push(mistake);
            }
        }
    }

    fn directive(&mut self, directive: &Directive, depth: usize) -> Result<(), Mistake> {
        let arguments = &directive.arguments;
        let name = directive.name.to_ascii_lowercase();
        if self.chain_open && name != "secrule" && name != "secaction" {
            self.close_chain();
        }
        match (name.as_str(), &arguments[..]) {
            ("secrule", [targets, operator]) => self.rule(directive, Some((targets, operator)), None),
            ("secrule", [targets, operator, actions]) => {
                self.rule(directive, Some((targets, operator)), Some(actions))
            }
            ("secaction", [actions]) => self.rule(directive, None, Some(actions)),
            ("secdefaultaction", [actions]) => self.default_action(actions),
            ("secmarker", [name]) => {
                self.gathered
                    .markers
                    .push(Marker { name: name.unescaped(), rule: self.gathered.rules.len() });
                Ok(())
            }
            ("seccomponentsignature", [signature]) => {
                self.gathered.signatures.push(signature.unescaped());
                Ok(())
            }
            ("secgeolookupdb", [path]) => {
                let database = self.read(path)?;
                let database = MaxMind::new(database).map_err(|why| path.mistake(why))?;
                self.gathered.geo = Some(Arc::new(database));
                Ok(())
            }
            ("secunicodemapfile", [path, code_page]) => self.unicode_map(path, code_page),
            ("include", [pattern]) => self.include(pattern, false, depth),
            ("includeoptional", [pattern]) => self.include(pattern, true, depth),
            _ => {
                if let Some(update) = updates::read(&name, arguments)? {
                    self.gathered.updates.push((update, directive.place.clone()));
                    return Ok(());
                }
                self.setting(directive)
            }
        }
    }

    fn setting(&mut self, directive: &Directive) -> Result<(), Mistake> {
        let arguments: Vec<String> = directive.arguments.iter().map(Argument::unescaped).collect();
        match self.gathered.settings.apply(&directive.name, &arguments) {
            Ok(Applied::Set) => Ok(()),
            Ok(Applied::WithoutEffect(why)) => {
                self.note(&directive.place, directive.name.clone(), why);
                Ok(())
            }
            Ok(Applied::Unknown) => Err(mistake(
                directive,
                RULE_DIRECTIVES
                    .iter()
                    .find_map(|(name, takes)| {
                        name.eq_ignore_ascii_case(&directive.name).then(|| format!("{name} takes {takes}"))
                    })
                    .unwrap_or_else(|| "there is no such directive".to_owned()),
            )),
            Err(message) => Err(mistake(directive, message)),
        }
    }

    fn rule(
        &mut self,
        directive: &Directive,
        looks: Option<(&Argument, &Argument)>,
        actions: Option<&Argument>,
    ) -> Result<(), Mistake> {
        // A link that does not parse must not make its chain swallow, or leave open, what follows.
        let continues = std::mem::take(&mut self.chain_open);
        let actions = match actions {
            Some(argument) => Actions::gather(&seclang::parse_actions(argument)?)?,
            None => Actions::default(),
        };
        self.chain_open = actions.chain;
        for (name, why) in &actions.without_effect {
            self.note(&directive.place, (*name).to_owned(), why);
        }
        let looks = match looks {
            Some((targets, operator)) => {
                Some((seclang::parse_targets(targets)?, seclang::parse_operator(operator)))
            }
            None => None,
        };
        if let Some(why) = looks.as_ref().and_then(|(_, operator)| check::never_answers(&operator.name)) {
            self.note(&directive.place, "its operator".to_owned(), why);
        }
        let link = LinkDraft { looks, actions, place: directive.place.clone() };
        match self.gathered.rules.last_mut() {
            Some(head) if continues => {
                let numbered = link.actions.id.is_some();
                head.add_link(link)?;
                if numbered {
                    self.note(&directive.place, "id".to_owned(), "a chain goes by the id of its first rule");
                }
                Ok(())
            }
            _ => {
                let rule = RuleDraft::new(link, &self.defaults)?;
                if self.gathered.rules.len() >= limits::RULES {
                    return Err(mistake(directive, format!("more than {} rules", limits::RULES)));
                }
                self.gathered.rules.push(rule);
                Ok(())
            }
        }
    }

    fn default_action(&mut self, argument: &Argument) -> Result<(), Mistake> {
        let actions = Actions::gather(&seclang::parse_actions(argument)?)?;
        let (phase, defaults) = Defaults::new(actions).map_err(|message| argument.mistake(message))?;
        let place = &mut self.defaults[usize::from(phase) - 1];
        if place.is_some() {
            return Err(argument.mistake(format!("phase {phase} has its SecDefaultAction already")));
        }
        *place = Some(Arc::new(defaults));
        Ok(())
    }

    fn include(&mut self, pattern: &Argument, optional: bool, depth: usize) -> Result<(), Mistake> {
        let from = pattern.place().file;
        if depth >= limits::INCLUDE_DEPTH {
            return Err(
                pattern.mistake(format!("files inside files, more than {} deep", limits::INCLUDE_DEPTH))
            );
        }
        let names = self.files.glob(&pattern.unescaped(), &from).map_err(|why| pattern.mistake(why))?;
        if names.is_empty() && !optional {
            return Err(pattern.mistake("no such file"));
        }
        for name in names {
            let bytes = self.files.read(&name, "").map_err(|why| pattern.mistake(why))?;
            let text =
                String::from_utf8(bytes).map_err(|_| pattern.mistake(format!("{name} is not UTF-8")))?;
            self.source(&Arc::from(name), &text, depth + 1);
        }
        Ok(())
    }

    /// The file that a directive names.
    fn read(&self, path: &Argument) -> Result<Vec<u8>, Mistake> {
        self.files.read(&path.unescaped(), &path.place().file).map_err(|why| path.mistake(why))
    }

    fn unicode_map(&mut self, path: &Argument, code_page: &Argument) -> Result<(), Mistake> {
        let number = code_page.raw().trim().parse();
        let number = number.map_err(|_| code_page.mistake("a code page is a number"))?;
        let text = self.read(path)?;
        let text = std::str::from_utf8(&text).map_err(|_| path.mistake("the file is not UTF-8"))?;
        self.gathered.unicode = Some(UnicodeMap::parse(text, number).map_err(|why| path.mistake(why))?);
        Ok(())
    }

    fn note(&mut self, place: &Place, what: String, why: &'static str) {
        if self.gathered.notes.len() < limits::NOTES {
            self.gathered.notes.push(Note { file: Arc::clone(&place.file), line: place.line, what, why });
        }
    }

    /// Tells of a chain whose next link is missing.
    fn close_chain(&mut self) {
        if !std::mem::take(&mut self.chain_open) {
            return;
        }
        if let Some(link) = self.gathered.rules.last().and_then(|rule| rule.links.last()) {
            self.mistakes.push(Mistake {
                place: link.place.clone(),
                text: String::new(),
                message: "`chain`, and no rule follows".to_owned(),
            });
        }
    }
}

/// What the directives above take, for those who give them something else.
const RULE_DIRECTIVES: &[(&str, &str)] = &[
    ("SecRule", "targets, an operator and actions"),
    ("SecAction", "actions"),
    ("SecDefaultAction", "actions"),
    ("SecMarker", "a name"),
    ("SecComponentSignature", "a text"),
    ("Include", "a path"),
    ("IncludeOptional", "a path"),
    ("SecGeoLookupDb", "a path"),
    ("SecUnicodeMapFile", "a path and the number of a code page"),
];

fn mistake(directive: &Directive, message: String) -> Mistake {
    Mistake { place: directive.place.clone(), text: directive.name.clone(), message }
}
