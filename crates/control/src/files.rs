//! Reading files with a bound, and writing them so that a crash leaves the old or the new one whole.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// Mode of files that hold keys: for their owner alone.
pub const SECRET: u32 = 0o600;

/// Mode of other files.
pub const PLAIN: u32 = 0o644;

/// How much of a file's name its temporary one repeats, in characters: names of 255 bytes are the longest there are.
const MAX_TEMPORARY_NAME: usize = 50;

/// The content of a regular file of at most `max` bytes. Devices and pipes are refused: they may never end.
pub fn read_bounded(path: &Path, max: u64) -> io::Result<Vec<u8>> {
    // Looked at before it is opened: opening a pipe would wait for its writer.
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut content = Vec::new();
    File::open(path)?.take(max + 1).read_to_end(&mut content)?;
    if content.len() as u64 > max {
        return Err(io::Error::other(format!("it is longer than {} KiB", max >> 10)));
    }
    Ok(content)
}

/// Writes a new file, fails if it is there; on disk when this returns.
pub fn write_new(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(content)?;
    file.sync_all()
}

/// Puts `content` in place of what is at `path`, in one step.
pub fn replace(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let begin: String = name.chars().take(MAX_TEMPORARY_NAME).collect();
    let temporary = folder.join(format!(".{begin}.{}", std::process::id()));
    // One that a crashed process with the same id left is in the way.
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    write_new(&temporary, content, mode)?;
    fs::rename(&temporary, path)?;
    sync_folder(folder)
}

/// Makes renames and new names in `folder` survive a crash.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_are_bounded_and_of_regular_files_only() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("f");
        write_new(&file, b"12345", PLAIN).unwrap();
        assert_eq!(read_bounded(&file, 5).unwrap(), b"12345");
        assert!(read_bounded(&file, 4).is_err());
        assert!(read_bounded(folder.path(), 4).is_err());
        assert!(read_bounded(Path::new("/dev/zero"), 4).is_err());
    }

    #[test]
    fn a_replaced_file_has_the_mode_that_is_asked_for() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("f");
        replace(&file, b"old", PLAIN).unwrap();
        replace(&file, b"new", SECRET).unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"new");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, SECRET);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        assert!(write_new(&file, b"again", PLAIN).is_err());
    }
}
