//! `veloflux dev-ca`: an authority for one developer's machine, and certificates for host names.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
};
use veloflux_model::value::Hostname;

use crate::cli::DevCa;
use crate::failure::{Failure, Outcome};
use veloflux_control::files::{PLAIN, SECRET, read_bounded, replace};

/// How long a certificate of a host is valid: what browsers accept at most is 398 days.
const LEAF_LIFETIME: Duration = Duration::from_hours(397 * 24);

/// How long the authority is valid.
const CA_LIFETIME: Duration = Duration::from_hours(10 * 365 * 24);

/// Certificates are valid from this long ago, for clocks that differ.
const BACKDATED: Duration = Duration::from_hours(24);

/// Longest PEM file of our own, in bytes.
const MAX_PEM_BYTES: u64 = 64 << 10;

pub(crate) fn run(args: &DevCa) -> Outcome {
    let ca = make(&args.dir, &args.hosts)?;
    println!("authority: {}", ca.display());
    for host in &args.hosts {
        let stem = file_stem(host);
        println!("{host}: {stem}.pem, {stem}.key");
    }
    Ok(())
}

/// Makes certificates for `hosts` under the authority in `folder`, which is made if it is not there; gives the path
/// of the authority's certificate.
pub(crate) fn make(folder: &Path, hosts: &[Hostname]) -> Outcome<PathBuf> {
    fs::create_dir_all(folder).map_err(|error| Failure::file(folder, "make the folder", &error))?;
    let issuer = authority(folder)?;
    for host in hosts {
        let key = new_key()?;
        let mut params = CertificateParams::new(vec![host.as_str().trim_matches(['[', ']']).to_owned()])
            .map_err(failed)?;
        params.distinguished_name.push(DnType::CommonName, host.as_str());
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        valid_for(&mut params, LEAF_LIFETIME);
        let certificate = params.signed_by(&key, &issuer).map_err(failed)?;
        let stem = file_stem(host);
        put(&folder.join(format!("{stem}.key")), &key.serialize_pem(), SECRET)?;
        put(&folder.join(format!("{stem}.pem")), &certificate.pem(), PLAIN)?;
    }
    Ok(folder.join("ca.pem"))
}

/// `host` as a file's name: `*` would be a pattern for shells.
pub(crate) fn file_stem(host: &Hostname) -> String {
    host.as_str().replace('*', "_wildcard").replace(['[', ']'], "").replace(':', "_")
}

fn authority(folder: &Path) -> Outcome<Issuer<'static, KeyPair>> {
    let (cert_file, key_file) = (folder.join("ca.pem"), folder.join("ca.key"));
    let read = |path: &Path| match read_bounded(path, MAX_PEM_BYTES) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        content => content
            .map(|content| Some(String::from_utf8_lossy(&content).into_owned()))
            .map_err(|error| Failure::file(path, "read it", &error)),
    };
    match (read(&cert_file)?, read(&key_file)?) {
        (Some(certificate), Some(key)) => {
            let unusable = |_| {
                Failure::new(format!(
                    "{}: the authority cannot be used; remove ca.pem and ca.key",
                    folder.display()
                ))
            };
            let key = KeyPair::from_pem(&key).map_err(unusable)?;
            Issuer::from_ca_cert_pem(&certificate, key).map_err(unusable)
        }
        (None, None) => {
            let key = new_key()?;
            let mut params = CertificateParams::default();
            params.distinguished_name.push(DnType::CommonName, "VeloFlux development authority");
            params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
            params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
            valid_for(&mut params, CA_LIFETIME);
            let certificate = params.self_signed(&key).map_err(failed)?;
            put(&key_file, &key.serialize_pem(), SECRET)?;
            put(&cert_file, &certificate.pem(), PLAIN)?;
            Ok(Issuer::new(params, key))
        }
        _ => Err(Failure::new(format!(
            "{}: there is one of ca.pem and ca.key, but not the other",
            folder.display()
        ))),
    }
}

fn new_key() -> Outcome<KeyPair> {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(failed)
}

fn valid_for(params: &mut CertificateParams, lifetime: Duration) {
    let now = SystemTime::now();
    params.not_before = (now - BACKDATED).into();
    params.not_after = (now + lifetime).into();
}

fn put(path: &Path, pem: &str, mode: u32) -> Outcome {
    replace(path, pem.as_bytes(), mode).map_err(|error| Failure::file(path, "write it", &error))
}

/// The error says what could not be made; it holds no key.
#[allow(clippy::needless_pass_by_value, reason = "what `map_err` calls")]
fn failed(error: rcgen::Error) -> Failure {
    Failure::new(format!("the certificate cannot be made: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn keys_are_for_their_owner_and_the_authority_stays() {
        let folder = tempfile::tempdir().unwrap();
        let hosts: Vec<Hostname> = ["a.localhost", "*.b.localhost"].map(|host| host.parse().unwrap()).into();
        let ca = make(folder.path(), &hosts).unwrap();
        let before = fs::read(&ca).unwrap();
        make(folder.path(), &hosts[..1]).unwrap();
        assert_eq!(fs::read(&ca).unwrap(), before);
        for key in ["ca.key", "a.localhost.key", "_wildcard.b.localhost.key"] {
            let mode = fs::metadata(folder.path().join(key)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, SECRET, "{key}");
        }
        fs::remove_file(folder.path().join("ca.key")).unwrap();
        assert!(make(folder.path(), &hosts).is_err());
    }
}
