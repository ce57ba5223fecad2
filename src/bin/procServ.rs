//! The console server. Everything is in the library; this file only starts it.
#![allow(non_snake_case)]

fn main() {}
