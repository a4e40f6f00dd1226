//! What machine this is, and which core does what.

use std::process::Command;

/// The core of the proxy under measurement, which has it alone.
pub(crate) const PROXY_CORE: usize = 0;
/// The core of load generator and upstream.
pub(crate) const LOAD_CORE: usize = 1;

/// An error where the measurement's two cores are not there.
pub(crate) fn require_two_cores() -> Result<(), String> {
    match std::thread::available_parallelism() {
        Ok(cores) if cores.get() >= 2 => Ok(()),
        _ => Err("needs two cores: one for the proxy, one for the load".into()),
    }
}

/// Processor, kernel and versions, one `machine` line each.
pub(crate) fn facts() -> String {
    let processor = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let processor =
        processor.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("\t: unknown");
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let lines = [
        format!("machine processor {} ({cores} cores)", processor.trim_start_matches(['\t', ':', ' '])),
        format!("machine kernel {}", first_line("uname", &["-sr"])),
        format!(
            "machine load average {}",
            std::fs::read_to_string("/proc/loadavg").unwrap_or_default().trim()
        ),
        format!("machine {}", first_line("/usr/sbin/nginx", &["-v"])),
        format!("machine {}", first_line("/usr/sbin/haproxy", &["-v"])),
        format!("machine {}", first_line("wrk", &["-v"])),
    ];
    lines.join("\n")
}

/// The first line that a command prints, on either stream.
fn first_line(program: &str, arguments: &[&str]) -> String {
    let Ok(output) = Command::new(program).args(arguments).output() else {
        return format!("{program}: not found");
    };
    let text = [output.stdout, output.stderr].concat();
    String::from_utf8_lossy(&text).lines().next().unwrap_or_default().to_owned()
}
