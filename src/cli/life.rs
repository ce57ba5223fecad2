//! The options of the child's life that procServ doesn't have. Their values are checked strictly.

use std::os::unix::ffi::OsStrExt;

use super::Given;

/// `--holdoff-max` in seconds, or what is wrong with it. Without it `holdoff`.
pub(super) fn holdoff_max(given: &Given, holdoff: u32) -> Result<u32, String> {
    let Some(value) = given.value("holdoff-max") else {
        return Ok(holdoff);
    };
    let digits = value.to_str().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    let Some(most) = digits.and_then(|text| text.parse().ok()) else {
        let shown = String::from_utf8_lossy(value.as_bytes());
        return Err(format!("--holdoff-max needs a number of seconds, not '{shown}'"));
    };
    match holdoff {
        0 => Err("--holdoff-max needs a --holdoff that can be doubled, not 0".to_owned()),
        _ if most < holdoff => {
            Err(format!("--holdoff-max {most} is less than the holdoff time, {holdoff}"))
        }
        _ => Ok(most),
    }
}
