//! Servers under measurement: pinned to a core, watched, and ended with the value that holds them.

use std::fs::File;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a server may take until it accepts connections; compiling a rule set is part of it.
const START_LIMIT: Duration = Duration::from_mins(1);
/// How long a server may take to end after it was told to.
const STOP_LIMIT: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(20);

/// A running server; dropping it ends it.
pub(crate) struct Server {
    child: Child,
    /// Where it accepts connections.
    pub address: SocketAddr,
    output: PathBuf,
}

impl Server {
    /// Starts `program` on `core` alone, with its output in the file `output`, and waits until it accepts
    /// connections on the loopback `port`.
    pub(crate) fn start(
        program: &Path,
        arguments: &[&str],
        core: usize,
        port: u16,
        output: PathBuf,
    ) -> Result<Self, String> {
        let name = program.display();
        let log = File::create(&output).map_err(|error| format!("{}: {error}", output.display()))?;
        let errors = log.try_clone().map_err(|error| error.to_string())?;
        let child = Command::new("taskset")
            .args(["-c", &core.to_string()])
            .arg(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors)
            .spawn()
            .map_err(|error| format!("{name}: {error}"))?;
        let mut server = Self { child, address: ([127, 0, 0, 1], port).into(), output };
        server.wait_until_ready().map_err(|error| format!("{name}: {error}\n{}", server.output()))?;
        Ok(server)
    }

    fn wait_until_ready(&mut self) -> Result<(), String> {
        let start = Instant::now();
        while start.elapsed() < START_LIMIT {
            if let Some(status) = self.child.try_wait().map_err(|error| error.to_string())? {
                return Err(format!("ended at once, {status}"));
            }
            if TcpStream::connect_timeout(&self.address, POLL).is_ok() {
                return Ok(());
            }
            std::thread::sleep(POLL);
        }
        Err(format!("does not listen after {} s", START_LIMIT.as_secs()))
    }

    /// What the server printed so far.
    pub(crate) fn output(&self) -> String {
        std::fs::read_to_string(&self.output).unwrap_or_default()
    }

    /// CPU time that the server's processes and all their threads have used, in nanoseconds.
    ///
    /// From the scheduler's own accounting (`/proc/PID/task/TID/schedstat`, first field), which is exact where
    /// `utime` and `stime` count in ticks.
    pub(crate) fn cpu_ns(&self) -> Result<u64, String> {
        let mut total = 0;
        let mut processes = vec![self.child.id()];
        while let Some(process) = processes.pop() {
            let tasks = PathBuf::from(format!("/proc/{process}/task"));
            for task in std::fs::read_dir(&tasks).map_err(|error| format!("{}: {error}", tasks.display()))? {
                let task = task.map_err(|error| error.to_string())?.path();
                total += first_number(&task.join("schedstat"))?;
                let children = std::fs::read_to_string(task.join("children")).unwrap_or_default();
                processes.extend(children.split_whitespace().filter_map(|child| child.parse::<u32>().ok()));
            }
        }
        Ok(total)
    }
}

fn first_number(path: &Path) -> Result<u64, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let number = text.split_whitespace().next().and_then(|number| number.parse().ok());
    number.ok_or_else(|| format!("{}: no number in {text:?}", path.display()))
}

impl Drop for Server {
    fn drop(&mut self) {
        // TERM first, so that a master ends its workers.
        let _ = Command::new("kill").arg(self.child.id().to_string()).stderr(Stdio::null()).status();
        let start = Instant::now();
        while start.elapsed() < STOP_LIMIT {
            if matches!(self.child.try_wait(), Ok(Some(_)) | Err(_)) {
                return;
            }
            std::thread::sleep(POLL);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
