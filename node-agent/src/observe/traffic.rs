//! Bytes that an instance received and sent, from its own network name space.

/// (received, sent) of all interfaces but loopback; `None` where the process is gone.
#[must_use]
pub fn read(pid: i32) -> Option<(u64, u64)> {
    sum(&std::fs::read_to_string(format!("/proc/{pid}/net/dev")).ok()?)
}

/// (received, sent) of all interfaces but loopback, from the text of `/proc/net/dev`.
#[must_use]
pub fn sum(text: &str) -> Option<(u64, u64)> {
    let mut total = (0u64, 0u64);
    for line in text.lines().skip(2) {
        let (name, figures) = line.split_once(':')?;
        if name.trim() == "lo" {
            continue;
        }
        // Eight columns of what was received, then eight of what was sent; bytes come first.
        let mut columns = figures.split_whitespace();
        total.0 += columns.next()?.parse::<u64>().ok()?;
        total.1 += columns.nth(7)?.parse::<u64>().ok()?;
    }
    Some(total)
}
