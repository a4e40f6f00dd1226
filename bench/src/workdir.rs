//! The folder that holds all that a run writes; gone when the run ends.

use std::net::TcpListener;
use std::path::{Path, PathBuf};

/// Host name that the contenders serve: one that resolves, so that the load generator sends it as TLS server name.
pub(crate) const HOST: &str = "localhost";

/// A temporary folder with the certificate that every contender presents.
pub(crate) struct Workdir {
    folder: tempfile::TempDir,
}

impl Workdir {
    /// Creates the folder and the certificate: ECDSA over P-256, for [`HOST`].
    pub(crate) fn create() -> Result<Self, String> {
        let folder = tempfile::tempdir().map_err(|error| format!("temporary folder: {error}"))?;
        let workdir = Self { folder };
        let issued =
            rcgen::generate_simple_self_signed([HOST.to_owned()]).map_err(|error| error.to_string())?;
        let (certificate, key) = (issued.cert.pem(), issued.signing_key.serialize_pem());
        workdir.write("cert.pem", &certificate)?;
        workdir.write("key.pem", &key)?;
        workdir.write("both.pem", format!("{certificate}{key}"))?;
        Ok(workdir)
    }

    /// The path of `name` in the folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file and gives its path.
    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> Result<PathBuf, String> {
        let path = self.path(name);
        std::fs::write(&path, content).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(path)
    }

    /// Creates a folder inside and gives its path.
    pub(crate) fn create_folder(&self, name: &str) -> Result<PathBuf, String> {
        let path = self.path(name);
        std::fs::create_dir_all(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(path)
    }

    /// The folder itself.
    pub(crate) fn root(&self) -> &Path {
        self.folder.path()
    }
}

/// A loopback port on which nobody listens at the moment.
pub(crate) fn free_port() -> Result<u16, String> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).map_err(|error| format!("no free port: {error}"))?;
    Ok(listener.local_addr().map_err(|error| error.to_string())?.port())
}
