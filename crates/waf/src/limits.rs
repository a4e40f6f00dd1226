//! Every bound of the engine, with its unit.

/// Files inside files: depth of `Include`.
pub const INCLUDE_DEPTH: usize = 16;
/// Bytes of one rule file.
pub const RULE_FILE_BYTES: usize = 8 << 20;
/// Bytes of one directive after joining continued lines.
pub const DIRECTIVE_BYTES: usize = 256 << 10;
/// Rules of a rule set, chain links not counted.
pub const RULES: usize = 65_536;
/// Links of one chain, its first included.
pub const CHAIN_LINKS: usize = 32;
/// Targets of one rule link.
pub const TARGETS: usize = 512;
/// Transformations of one rule link.
pub const TRANSFORMATIONS: usize = 32;
/// Mistakes reported before the compiler gives up.
pub const ERRORS: usize = 200;
/// Remarks kept about what has no effect.
pub const NOTES: usize = 1_000;
/// Exclusions and rules with modes of one tenant or route.
pub const EXCLUSIONS: usize = 4_096;
/// Exclusions of one tenant or route whose target is a pattern.
pub const EXCLUSION_PATTERNS: usize = 64;
/// Rules of one tenant or route of its own, every link of a chain counted.
pub const OWN_RULES: usize = 100;
/// Bytes of the text of such rules.
pub const OWN_RULES_BYTES: usize = 64 << 10;
/// Ids of such rules, first and last: within the range that ModSecurity reserves for local use, apart from the base
/// configuration's.
pub const OWN_RULE_IDS: (u32, u32) = (10_000, 99_999);
/// Bytes that the automaton (Thompson NFA) of one pattern in such rules may take. It bounds the work per byte of input:
/// a byte is looked at once for each state at most.
pub const OWN_PATTERN_BYTES: usize = 32 << 10;
/// Bytes of the lazily built automaton of such a pattern, per thread that runs it.
pub const OWN_AUTOMATON_BYTES: usize = 256 << 10;

/// Values (arguments, headers, cookies, files) of one transaction; more are an error that fails the transaction.
pub const VALUES: usize = 20_000;
/// Arguments of one transaction, from query and body together; more count as a body that does not parse.
pub const ARGUMENTS: usize = 5_000;
/// Matches of one transaction that go into its record; more are counted, not kept.
pub const MATCHES: usize = 1_000;
/// Values that one chain may match, each counted in every link; more are an internal error. `MATCHED_VARS` shows all
/// of them: a chain that looked at some only could be blinded with harmless ones.
pub const MATCHED_VALUES: usize = 100_000;
/// TX variables whose names rules make at run time.
pub const DYNAMIC_VARIABLES: usize = 2 * ARGUMENTS;
/// Bytes that rules may copy into variables in one transaction, captures included; more are an internal error. Single
/// values are never cut: a rule that looked at a part of one could be blinded by padding.
pub const COPIED_BYTES: usize = 256 << 20;
/// Steps that an explained transaction takes down; more are counted, not kept.
pub const STEPS: usize = 1 << 20;
/// Bytes kept of a matched value and of expanded messages in a record.
pub const RECORDED_BYTES: usize = 1_024;
/// Bytes of transformed values that one transaction may hold; more are an internal error.
pub const TRANSFORMED_BYTES: usize = 256 << 20;

/// Bytes of the key of a persistent collection's entry; a rule that gives more refuses its transaction.
pub const COLLECTION_KEY_BYTES: usize = 1 << 10;
/// Bytes of the name of a variable of a persistent collection, likewise.
pub const COLLECTION_NAME_BYTES: usize = 256;
/// Bytes of the value of a variable of a persistent collection, likewise.
pub const COLLECTION_VALUE_BYTES: usize = 4 << 10;
/// Variables of one entry of a persistent collection, likewise.
pub const COLLECTION_VARIABLES: usize = 64;
/// Entries of persistent collections that a process keeps; more push out those of the tenant that has most.
pub const COLLECTION_ENTRIES: usize = 1 << 19;
/// Bytes of persistent collections that a process keeps, likewise.
pub const COLLECTION_BYTES: usize = 256 << 20;
/// Entries of persistent collections that a process keeps for one tenant; more push out its least recently used.
pub const TENANT_COLLECTION_ENTRIES: usize = 1 << 16;
/// Bytes of persistent collections that a process keeps for one tenant, likewise.
pub const TENANT_COLLECTION_BYTES: usize = 32 << 20;
/// Seconds that an entry of a persistent collection lives after its last change, where `SecCollectionTimeout` says
/// nothing else.
pub const COLLECTION_TIMEOUT_S: u64 = 3_600;
