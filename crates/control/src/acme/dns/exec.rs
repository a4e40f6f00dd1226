//! Records written by a program: `PROGRAM ARGS… present|cleanup NAME VALUE`, without a shell.

use std::io;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::process::{ChildStderr, Command};

use super::{Action, DnsError};

/// Most of what a failed program said that a message repeats, in bytes.
const MAX_SAID_BYTES: u64 = 300;

/// The program.
#[derive(Debug)]
pub(crate) struct Exec {
    pub(crate) program: PathBuf,
    /// Its first arguments.
    pub(crate) args: Vec<String>,
    /// How long it may run; then it is killed.
    pub(crate) timeout: Duration,
}

impl Exec {
    pub(super) async fn change(&self, action: Action, name: &str, value: &str) -> Result<(), DnsError> {
        let program = self.program.display();
        let mut child = Command::new(&self.program)
            .args(&self.args)
            .args([action.name(), name, value])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            // The master key is none of its business.
            .env_remove(crate::seal::MASTER_KEY_VARIABLE)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| DnsError::new(format!("{program}: {error}")))?;
        let said = child.stderr.take();
        let ended = async { tokio::try_join!(child.wait(), beginning(said)) };
        let (status, said) = tokio::time::timeout(self.timeout, ended)
            .await
            .map_err(|_| DnsError::new(format!("{program}: not done in {:?}", self.timeout)))?
            .map_err(|error| DnsError::new(format!("{program}: {error}")))?;
        if status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&said);
        Err(DnsError::new(format!("{program}: {status}: {}", said.trim().escape_debug())))
    }
}

/// The first of what a program says. The rest is read and dropped: it must not wait for a full pipe.
async fn beginning(said: Option<ChildStderr>) -> io::Result<Vec<u8>> {
    let mut kept = Vec::new();
    if let Some(mut said) = said {
        (&mut said).take(MAX_SAID_BYTES).read_to_end(&mut kept).await?;
        tokio::io::copy(&mut said, &mut tokio::io::sink()).await?;
    }
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    async fn run(script: &str, timeout_ms: u64) -> (Result<(), DnsError>, String) {
        let folder = tempfile::tempdir().unwrap();
        let (program, seen) = (folder.path().join("program"), folder.path().join("seen"));
        std::fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        let exec = Exec {
            program,
            args: vec![seen.display().to_string()],
            timeout: Duration::from_millis(timeout_ms),
        };
        let done = exec.change(Action::Present, "_acme-challenge.a.example", "$(v) ;'x").await;
        (done, std::fs::read_to_string(seen).unwrap_or_default())
    }

    #[tokio::test]
    async fn arguments_arrive_as_they_are() {
        let (done, seen) = run(r#"printf '%s|%s|%s' "$2" "$3" "$4" > "$1""#, 10_000).await;
        done.unwrap();
        assert_eq!(seen, "present|_acme-challenge.a.example|$(v) ;'x");
    }

    #[tokio::test]
    async fn failure_and_time_are_told() {
        let (failed, _) = run("echo no such zone >&2; exit 3", 10_000).await;
        let failed = failed.unwrap_err().to_string();
        assert!(failed.contains("exit status: 3: no such zone"), "{failed}");
        let (talkative, _) = run("yes no | head -c 1000000 >&2; exit 4", 10_000).await;
        let talkative = talkative.unwrap_err().to_string();
        assert!(talkative.contains("exit status: 4: no\\nno") && talkative.len() < 1_000, "{talkative}");
        let (slow, _) = run("sleep 30", 100).await;
        assert!(slow.unwrap_err().to_string().contains("not done in 100ms"));
    }
}
