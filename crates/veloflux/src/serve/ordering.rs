//! Ordering certificates, where the process file asks for it.

use std::cell::Cell;
use std::sync::Arc;

use tokio::sync::Notify;
use veloflux_control::acme::{Acme, Opening};
use veloflux_control::seal::MASTER_KEY_VARIABLE;
use veloflux_snapshot::Reader;
use veloflux_snapshot::managed::Managed;

use crate::failure::{Failure, Outcome};
use crate::load::{ProcessFile, native_roots};

/// File in the data directory with the master key, where the process file names none.
const MASTER_KEY_FILE: &str = "master.key";

/// Ordering that is set up.
pub(super) struct Ordering {
    acme: Cell<Option<Acme>>,
    issued: Arc<Notify>,
}

impl Ordering {
    /// Reads what is stored into `managed`. `None`: the process file has no `acme`.
    pub(super) fn open(file: &ProcessFile, managed: Arc<Managed>) -> Outcome<Option<Self>> {
        let Some(acme) = &file.process.acme else { return Ok(None) };
        let variable = match std::env::var(MASTER_KEY_VARIABLE) {
            Ok(text) => Some(text),
            Err(std::env::VarError::NotPresent) => None,
            Err(error) => return Err(Failure::new(format!("{MASTER_KEY_VARIABLE}: {error}"))),
        };
        let data_directory = file.data_directory();
        let named = file.process.master_key_file.as_ref();
        let key_file = named
            .map_or_else(|| data_directory.join(MASTER_KEY_FILE), |key_file| file.resolve(key_file.as_str()));
        let opening = Opening {
            acme,
            data_directory: &data_directory,
            master_key: (&key_file, variable.as_deref()),
            resolve: &|path| file.resolve(path),
            native_roots: &native_roots(),
            managed,
            // The state file is the operator's: whoever may write it answers for the domains that it lists.
            proved: Box::new(|_| true),
        };
        let acme = Acme::open(opening).map_err(|error| Failure::new(error.to_string()))?;
        let issued = acme.issued();
        Ok(Some(Self { acme: Cell::new(Some(acme)), issued }))
    }

    /// Orders from now on what the snapshots of `reader` want.
    pub(super) fn begin(&self, reader: Reader) -> Outcome {
        let Some(acme) = self.acme.take() else { return Ok(()) };
        acme.start(reader)
            .map_err(|error| Failure::new(format!("cannot start ordering certificates: {error}")))
    }

    /// Waits for a certificate that no snapshot has yet.
    pub(super) async fn issued(&self) {
        self.issued.notified().await;
    }
}
