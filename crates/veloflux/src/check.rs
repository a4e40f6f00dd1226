//! `veloflux check` and `veloflux schema`: what the files must look like, without serving anything.

use veloflux_control::acme;
use veloflux_model::{Desired, Process};
use veloflux_snapshot::Lapsed;

use crate::cli::{Files, Schema, SchemaOf};
use crate::failure::{Failure, Outcome};
use crate::load::{ProcessFile, native_roots, read_document};
use crate::serve::edge::masker;

pub(crate) fn run(args: &Files) -> Outcome {
    let snapshot = match ProcessFile::read(&args.process) {
        Ok(process) => {
            masker(&process.process)?;
            if let Some(settings) = &process.process.acme {
                acme::check(settings, &|path| process.resolve(path), &native_roots())
                    .map_err(|error| Failure::new(error.to_string()))?;
            }
            process.loader(args.state.as_deref()).load(1, Lapsed::Refuse)?
        }
        // A wrong process file does not keep the state's problems from being shown.
        Err(report) => {
            let state = args.state.as_deref().and_then(|state| read_document::<Desired>(state).err());
            return Err(Failure::new(match state {
                Some(state) => format!("{report}\n{state}"),
                None => report.to_string(),
            }));
        }
    };
    println!("ok: {} tenants", snapshot.tenants.len());
    Ok(())
}

pub(crate) fn schema(args: &Schema) {
    let text = match args.file {
        SchemaOf::Process => veloflux_model::schema::<Process>(),
        SchemaOf::State => veloflux_model::schema::<Desired>(),
    };
    print!("{text}");
}
