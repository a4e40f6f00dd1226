use std::process::Command;

/// Processor, kernel and load, one `machine` line each.
pub fn facts() -> String {
    let processor = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let processor =
        processor.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("\t: unknown");
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let lines = [
        format!("machine processor {} ({cores} cores)", processor.trim_start_matches(['\t', ':', ' '])),
        format!("machine kernel {}", version("uname", &["-sr"])),
        format!(
            "machine load average {}",
            std::fs::read_to_string("/proc/loadavg").unwrap_or_default().trim()
        ),
    ];
    lines.join("\n")
}

/// The first line that a command prints, on either stream: its version, asked the right way.
pub fn version(program: &str, arguments: &[&str]) -> String {
    let Ok(output) = Command::new(program).args(arguments).output() else {
        return format!("{program}: not found");
    };
    let text = [output.stdout, output.stderr].concat();
    String::from_utf8_lossy(&text).lines().next().unwrap_or_default().to_owned()
}
