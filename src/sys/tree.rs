//! Who descends from whom.

/// Whether process `pid` is `root` or descends from it. One that is gone does not.
#[cfg(target_os = "linux")]
pub fn is_within(pid: i32, root: i32) -> bool {
    let mut process = pid;
    // While one looks, parents may die and numbers be given anew: no chain is endless.
    for _ in 0..10_000 {
        if process == root {
            return true;
        }
        match parent(process) {
            Some(parent) if parent > 1 => process = parent,
            Some(_) | None => return false,
        }
    }
    false
}

#[cfg(target_os = "linux")]
fn parent(pid: i32) -> Option<i32> {
    let stat = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
    // The name before may have anything in it, in parentheses.
    let at = stat.iter().rposition(|&byte| byte == b')')?;
    let rest = std::str::from_utf8(stat.get(at + 1..)?).ok()?;
    rest.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// Elsewhere nobody tells: only itself is known to be.
#[cfg(not(target_os = "linux"))]
pub fn is_within(pid: i32, root: i32) -> bool {
    pid == root
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn parents_are_found() {
        let own = i32::try_from(std::process::id()).unwrap();
        let mut child = std::process::Command::new("sleep").arg("60").spawn().expect("a child");
        let pid = i32::try_from(child.id()).unwrap();
        assert!(is_within(own, own) && is_within(pid, own) && is_within(pid, parent(own).unwrap()));
        assert!(!is_within(own, pid) && !is_within(1, own) && !is_within(i32::MAX, own));
        child.kill().expect("kill");
        assert!(is_within(pid, own), "a dead child is one until it is reaped");
        child.wait().expect("its end");
        assert!(!is_within(pid, own));
    }
}
