//! What the kernel says about sockets.

/// The addresses, as the kernel writes them, that somebody listens on with this TCP port.
pub fn listeners(port: u16) -> Vec<String> {
    let table = std::fs::read_to_string("/proc/net/tcp").expect("/proc/net/tcp");
    let wanted = format!("{port:04X}");
    let rows = table.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
    let local = rows.filter(|row| row[3] == "0A").filter_map(|row| row[1].split_once(':'));
    local.filter(|(_, port)| *port == wanted).map(|(address, _)| address.to_owned()).collect()
}
