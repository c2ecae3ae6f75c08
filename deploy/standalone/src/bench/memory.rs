//! The process's memory as the kernel counts it.

/// A line of `/proc/self/status` in bytes; 0 where there is no such file.
fn status_bytes(name: &str) -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    read_line(&text, name).unwrap_or(0)
}

fn read_line(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib * 1_024)
}

/// Most memory that was ever resident.
#[must_use]
pub(crate) fn peak_bytes() -> u64 {
    status_bytes("VmHWM")
}

/// Lets [`peak_bytes`] begin anew from what is resident now, where the kernel can.
pub(crate) fn forget_peak() {
    if let Err(error) = std::fs::write("/proc/self/clear_refs", "5") {
        tracing::warn!(%error, "the peak of memory includes what was before");
    }
}

/// Memory that is resident now.
#[must_use]
pub(crate) fn resident_bytes() -> u64 {
    status_bytes("VmRSS")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_in_kibibytes() {
        let text = "Name:\teddyline\nVmHWM:\t    2048 kB\nVmRSS:\t 1024 kB\n";
        assert_eq!(read_line(text, "VmHWM"), Some(2 << 20));
        assert_eq!(read_line(text, "VmSwap"), None);
    }
}
