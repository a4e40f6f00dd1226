//! What machine this is, and which core does what.

use veloflux_bench_common::version;

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

/// The machine and who is measured on it, one `machine` line each.
pub(crate) fn facts() -> String {
    let lines = [
        veloflux_bench_common::facts(),
        format!("machine {}", version("/usr/sbin/nginx", &["-v"])),
        format!("machine {}", version("/usr/sbin/haproxy", &["-v"])),
        format!("machine {}", version("wrk", &["-v"])),
    ];
    lines.join("\n")
}
