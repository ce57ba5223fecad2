//! The samples in `tests/samples` are never written again: later versions add some. A sample is named
//! `state-FORMAT-NUMBER`.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;

use super::value::Value;
use super::*;
use crate::handover::format::{FORMAT, body, digest};

const DIRECTORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/samples");

/// All samples, with their sizes and digests. A line in here is never changed.
const SAMPLES: [(&str, usize, u32); 13] = [
    ("state-1", 1606, 0x0AA7_6430),
    ("state-2-1", 1629, 0xEBFC_ABDF),
    ("state-2-10", 2125, 0xF80C_2B34),
    ("state-2-2", 1874, 0x3807_EBBE),
    ("state-2-3", 1900, 0x51E2_1814),
    ("state-2-4", 1962, 0xBEC4_75F5),
    ("state-2-5", 1993, 0xA6A4_B689),
    ("state-2-6", 1997, 0xC89B_0340),
    ("state-2-7", 2016, 0xEB4F_C08B),
    ("state-2-8", 2091, 0xEF7F_A0CC),
    ("state-2-9", 2115, 0x2EB1_E562),
    ("state-2-11", 2127, 0x580F_3840),
    ("state-2-12", 2131, 0x35F0_BDB4),
];

pub fn path(name: &str) -> String {
    format!("{DIRECTORY}/{name}")
}

#[test]
fn samples_are_only_added() {
    let entries = fs::read_dir(DIRECTORY).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut found: Vec<(String, usize, u32)> = names
        .map(|name| {
            let bytes = fs::read(path(&name)).unwrap();
            (name, bytes.len(), digest(&bytes))
        })
        .collect();
    found.sort();
    let mut known = SAMPLES.map(|(name, size, digest)| (name.to_owned(), size, digest));
    known.sort();
    assert_eq!(found, known, "add a new sample to the table, and leave the others as they are");
}

#[test]
fn samples_of_this_format_are_read() {
    for (name, ..) in SAMPLES {
        let read = decode(&fs::read(path(name)).unwrap());
        if name.starts_with(&format!("state-{FORMAT}-")) {
            read.unwrap();
        } else {
            let reason = read.unwrap_err().to_string();
            assert_eq!(
                reason,
                "the state was made by a version before 0.1.0, which cannot be read"
            );
        }
    }
}

/// The fields of a body, each by the numbers that lead to it, without the indices of arrays.
fn fields(value: &Value, path: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Map(inner) => {
            for (number, value) in inner {
                let path = format!("{path}.{number}");
                fields(value, &path, found);
                found.insert(path);
            }
        }
        Value::Array(values) => {
            values.iter().for_each(|value| fields(value, &format!("{path}[]"), found));
        }
        Value::Leaf(_) => {}
    }
}

#[test]
fn each_field_is_in_a_sample() {
    let mut sampled = BTreeSet::new();
    for (name, ..) in SAMPLES.into_iter().filter(|(name, ..)| name.starts_with("state-2-")) {
        fields(&Value::read(body(&fs::read(path(name)).unwrap()).unwrap()), "", &mut sampled);
    }
    let mut written = BTreeSet::new();
    fields(&tree(), "", &mut written);
    let missing: Vec<&String> = written.difference(&sampled).collect();
    assert!(missing.is_empty(), "write_a_sample, as there is none with {missing:?}");
    // And no field is left out of the state that samples are made of.
    let top = (0..).take_while(|number| written.contains(&format!(".{number}"))).count();
    assert_eq!(top, written.iter().filter(|path| path.matches('.').count() == 1).count());
}

/// `cargo test --lib write_a_sample -- --ignored`, when the state has a new field.
#[test]
#[ignore = "writes the sample"]
fn write_a_sample() {
    let names = (1..).map(|number| path(&format!("state-{FORMAT}-{number}")));
    let name = names.into_iter().find(|name| !fs::exists(name).unwrap()).unwrap();
    let mut file = fs::File::create_new(name).unwrap();
    file.write_all(&encode(&sample::state())).unwrap();
}
