//! Hard bounds of the data plane, in one place. What an operator may set stands in [`crate::EdgeConfig`]; these
//! are the ceilings and sizes behind it.

/// No configuration may allow a longer message head than this, in bytes.
pub(crate) const MAX_HEAD_BYTES_CEILING: usize = 1 << 20;

/// Read buffer of a connection, in bytes: one read takes a head and a typical body. Held only while something is
/// being read or waits to be passed on; an idle connection holds none.
pub(crate) const READ_BUFFER_BYTES: usize = 32 * 1024;

/// Read buffers kept for reuse per core.
pub(crate) const SPARE_BUFFERS: usize = 256;

/// Longest chunk-size line of chunked coding, extensions included, in bytes.
pub(crate) const MAX_CHUNK_LINE_BYTES: usize = 4 * 1024;

/// Longest trailer section, in bytes.
pub(crate) const MAX_TRAILER_BYTES: usize = 16 * 1024;

/// Most bytes of an unread request body that are drained to save a connection after an early answer.
pub(crate) const MAX_DISCARD_BYTES: u64 = 256 * 1024;

/// Interim (1xx) responses accepted from a backend before its final one.
pub(crate) const MAX_INTERIM_RESPONSES: u32 = 8;
