//! `--root`: the machine's instances, in an image of a machine.

use crate::manage::fleet::{Fleet, MANAGE};
use crate::support::{TestEnv, cases};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::{Command, Output};

cases![
    an_image_is_prepared,
    nothing_runs_in_an_image,
    links_of_an_image_stay_in_it,
    what_others_must_read_they_can,
];

fn an_image_is_prepared(_: &TestEnv) {
    let fleet = Fleet::new();
    fleet.program("image/opt/ioc1/st.cmd", "#!/bin/sh\n");
    fleet.program("image/bin/sh", "");
    fleet.program("image/usr/bin/procServ-launcher", "");
    fleet.program("image/bin/sh", "");
    let image = fleet.path("image");
    let root = ["--root", image.to_str().unwrap()];
    let done = {
        let mut command = Command::new(MANAGE);
        command.env("PATH", fleet.path("bin")).args(root);
        command.args(["add", "-C", "/opt/ioc1", "-U", "ioc", "ioc1", "st.cmd"]).output().unwrap()
    };
    assert!(done.status.success(), "{done:?}");
    let conf = fleet.read("image/etc/procServ.d/ioc1.conf");
    assert_eq!(conf, "\n[ioc1]\ncommand = /opt/ioc1/st.cmd\nchdir = /opt/ioc1\nuser = ioc\n");
    let unit = fleet.read("image/etc/procServ.d/procserv-ioc1.service");
    assert!(unit.contains("\nExecStart=/usr/bin/procServ-launcher --system ioc1\n"), "{unit}");
    assert!(unit.contains("\nUser=ioc\n") && !unit.contains(image.to_str().unwrap()), "{unit}");
    assert_eq!(done.stdout, b"# ioc1 is started when the image boots\n");
    // systemctl would follow links of the image out of it.
    assert!(!fleet.path("systemctl").exists());
    for link in ["", "multi-user.target.wants/"] {
        let link = fleet.path(&format!("image/etc/systemd/system/{link}procserv-ioc1.service"));
        let target = fs::read_link(link).unwrap();
        assert_eq!(target.to_str().unwrap(), "/etc/procServ.d/procserv-ioc1.service");
    }
}

fn in_image(fleet: &Fleet, shell: &str, words: &[&str]) -> Output {
    let mut command = Command::new("/bin/sh");
    let path = format!("{}:{}", fleet.path("bin").display(), std::env::var("PATH").unwrap());
    let script = format!("{shell}; exec {MANAGE} --root image \"$@\"");
    command.env("PATH", path).current_dir(fleet.path(""));
    command.args(["-c", &script, "-"]).args(words).output().unwrap()
}

fn nothing_runs_in_an_image(_: &TestEnv) {
    let fleet = Fleet::new();
    fleet.file("image/etc/procServ.conf", "[a]\ncommand = x\n");
    for words in
        [&["start"][..], &["stop"], &["restart", "a"], &["upgrade", "a"], &["add", "-Af", "b", "x"]]
    {
        let done = in_image(&fleet, ":", words);
        let said = String::from_utf8_lossy(&done.stderr);
        assert!(
            done.status.code() == Some(2) && said.contains("nothing runs in an image"),
            "{said}"
        );
    }
    assert!(!fleet.path("systemctl").exists());
    assert_eq!(fleet.names("image/etc"), ["procServ.conf"]);
}

/// As they lead when the image is what runs.
fn links_of_an_image_stay_in_it(_: &TestEnv) {
    let fleet = Fleet::new();
    let outside = fleet.path("outside");
    fs::create_dir(&outside).unwrap();
    fs::create_dir_all(fleet.path("image/etc")).unwrap();
    fs::create_dir_all(fleet.path(&format!("image/{}", outside.display()))).unwrap();
    fleet.program("image/usr/opt/st.cmd", "");
    symlink(&outside, fleet.path("image/etc/procServ.d")).unwrap();
    symlink("/usr/opt", fleet.path("image/opt")).unwrap();
    let done = in_image(&fleet, ":", &["add", "-C", "/opt", "ioc1", "st.cmd"]);
    assert!(done.status.success(), "{done:?}");
    assert_eq!(fleet.names("outside"), [""; 0]);
    let conf = format!("image{}/ioc1.conf", outside.display());
    assert!(fleet.read(&conf).contains("command = /opt/st.cmd\n"));
    let done = in_image(&fleet, ":", &["list"]);
    assert!(String::from_utf8_lossy(&done.stdout).contains("ioc1 "), "{done:?}");
}

/// Servers run as other users, and their launchers read these files.
fn what_others_must_read_they_can(_: &TestEnv) {
    let fleet = Fleet::new();
    fs::create_dir_all(fleet.path("image/etc")).unwrap();
    let done = in_image(&fleet, "umask 077", &["add", "-f", "-C", "/", "ioc1", "/bin/true"]);
    assert!(done.status.success(), "{done:?}");
    let mode = |name: &str| fs::metadata(fleet.path(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode("image/etc/procServ.d"), 0o755);
    assert_eq!(mode("image/etc/procServ.d/ioc1.conf"), 0o644);
    assert_eq!(mode("image/etc/procServ.d/procserv-ioc1.service"), 0o644);
}
